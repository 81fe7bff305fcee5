// What the folders of prebuilds/ are called, as in linux-x64-glibc.
'use strict';

function libc() {
  if (process.platform !== 'linux' || !process.report) {
    return process.platform === 'linux' ? '-glibc' : '';
  }
  const { excludeNetwork } = process.report;
  process.report.excludeNetwork = true; // or the report looks up names
  const { glibcVersionRuntime } = process.report.getReport().header;
  process.report.excludeNetwork = excludeNetwork;
  return glibcVersionRuntime ? '-glibc' : '-musl';
}

module.exports = `${process.platform}-${process.arch}${libc()}`;
