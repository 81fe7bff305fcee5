'use strict';

/** The longest interval that a timer can have. */
const FOREVER = 2 ** 31 - 1;

/** Keeps the process running until it is stopped, unless it is unreferenced. */
class KeepAlive {
  #timer = null;
  #referenced = true;

  start() {
    this.#timer = setInterval(() => {}, FOREVER);
    if (!this.#referenced) {
      this.#timer.unref();
    }
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
  }

  ref() {
    this.#referenced = true;
    this.#timer?.ref();
  }

  unref() {
    this.#referenced = false;
    this.#timer?.unref();
  }
}

module.exports = { KeepAlive };
