'use strict';

/** The longest interval that a timer can have. */
const FOREVER = 2 ** 31 - 1;

/** Keeps the process running until `end` is called: the native half does not. */
function keepAlive() {
  const timer = setInterval(() => {}, FOREVER);
  return { end: () => clearInterval(timer) };
}

module.exports = { keepAlive };
