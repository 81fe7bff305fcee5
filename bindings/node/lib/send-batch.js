// Sending many messages with one call.
'use strict';

const { textInBatch } = require('./binding');

/** The error with the index of the message in its text. */
function inBatch(error, index) {
  if (error instanceof Error) {
    error.message = textInBatch(index, error.message);
  }
  return error;
}

/** Encodes every message. An error names the message by its index. */
function encodeAll(messages, encode) {
  return messages.map((message, index) => {
    try {
      return encode(message);
    } catch (error) {
      throw inBatch(error, index);
    }
  });
}

/**
 * Sends the messages one by one with `send(message, done)`, without waiting for one before the next.
 * Calls `done` once: with the sum of the bytes, or with the first error.
 */
function sendEach(messages, send, done) {
  let left = messages.length;
  let sum = 0;
  let failure = null;
  const settle = () => (failure ? done(failure) : done(null, sum));
  messages.forEach((message, index) => {
    const finish = (error, bytes) => {
      left -= 1;
      sum += bytes ?? 0;
      failure ??= error && inBatch(error, index);
      if (left === 0) {
        settle();
      }
    };
    try {
      send(message, finish);
    } catch (error) {
      finish(error);
    }
  });
  if (messages.length === 0) {
    settle();
  }
}

module.exports = { encodeAll, sendEach };
