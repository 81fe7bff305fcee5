// What the folders of prebuilds/ are called, as in linux-x64-glibc.
'use strict';

const fs = require('node:fs');

/** How much of a program is looked at; the name of its loader is near the beginning. */
const HEAD = 2048;

/** The loader that the program which runs this asks for. Nothing if it cannot be seen. */
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

/** Takes 10 ms and more, and so comes second. */
function reported() {
  const { excludeNetwork } = process.report;
  process.report.excludeNetwork = true; // or the report looks up names
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
