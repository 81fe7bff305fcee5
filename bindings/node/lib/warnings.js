// Warnings of the process, each once.
'use strict';

const told = new Set();

function warnOnce(code, text) {
  if (!told.has(text)) {
    told.add(text);
    process.emitWarning(text, { type: 'CasterWarning', code });
  }
}

/** Habits from caster 0.1.1 that do not do what they seem to. */
const HABITS = [
  {
    code: 'CASTER_CRYPTO',
    applies: ({ crypto }) => crypto,
    text:
      'crypto is the encryption of caster 0.1.1: without salt, initialisation vector and ' +
      'authentication it is no security. Send nothing that others on the network may not see.',
  },
  {
    code: 'CASTER_HASH_INVERTED',
    applies: ({ compat, hash }) => compat && hash,
    text:
      'with compat "0.1.1", hash: true turns the digest off, as it did in caster 0.1.1. ' +
      'Leave hash out to have it on.',
  },
  {
    code: 'CASTER_HASH_MEANING',
    applies: ({ compat, hash }) => compat === undefined && hash !== undefined && hash !== null,
    text:
      'hash: true turns the digest on and hash: false turns it off. In caster 0.1.1 both did the ' +
      'contrary. Give compat: "0.1.1" to keep the old meaning, or compat: null to keep this quiet.',
  },
];

/** What the core found odd about options. */
function warnOfOptions(texts) {
  texts.forEach((text) => warnOnce('CASTER_UNKNOWN_OPTION', text));
}

function warnOfHabits(options) {
  for (const { code, applies, text } of HABITS) {
    if (applies(options)) {
      warnOnce(code, text);
    }
  }
}

let hinted = false;

/** The first thing that a node has to say about others whom it cannot understand. */
function warnOfHint(text) {
  if (!hinted) {
    hinted = true;
    warnOnce('CASTER_HINT', text);
  }
}

module.exports = { warnOfHabits, warnOfHint, warnOfOptions };
