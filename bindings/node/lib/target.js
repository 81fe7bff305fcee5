// The name of the folder in prebuilds/ for this system, as in linux-x64-glibc.
'use strict';

const fs = require('node:fs');

/** Number of bytes to search in a program; the name of its loader is near the beginning. */
const HEAD = 2048;

/** The loader of the running program, or undefined if it cannot be determined. */
function loader() {
  let file;
  try {
    file = fs.openSync(process.execPath);
    const head = Buffer.alloc(HEAD);
    const length = fs.readSync(file, head, 0, HEAD, 0);
    return head.latin1Slice(0, length).match(/\/ld-(musl|linux)[^\0]*\0/)?.[1];
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) {
      fs.closeSync(file);
    }
  }
}

/** The same by the diagnostic report, which takes 10 ms and more. */
function reported() {
  const { excludeNetwork } = process.report;
  process.report.excludeNetwork = true; // otherwise the report resolves host names
  const { glibcVersionRuntime } = process.report.getReport().header;
  process.report.excludeNetwork = excludeNetwork;
  return glibcVersionRuntime ? 'linux' : 'musl';
}

function libc() {
  if (process.platform !== 'linux') {
    return '';
  }
  const found = loader() ?? (process.report ? reported() : 'linux');
  return found === 'musl' ? '-musl' : '-glibc';
}

module.exports = `${process.platform}-${process.arch}${libc()}`;
