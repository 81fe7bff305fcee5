// Warnings of the process, each once.
'use strict';

const told = new Set();

function warnOnce(code, text) {
  if (!told.has(text)) {
    told.add(text);
    process.emitWarning(text, { type: 'CasterWarning', code });
  }
}

/** Options of caster 0.1.1 that are easily misunderstood. */
const HABITS = [
  {
    code: 'CASTER_CRYPTO',
    applies: ({ crypto }) => crypto,
    text:
      'crypto is the encryption of caster 0.1.1: without salt, initialisation vector and ' +
      'authentication it is not security. Send nothing confidential.',
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
      'hash: true turns the digest on and hash: false turns it off. In caster 0.1.1 both had the ' +
      'opposite effect. Set compat: "0.1.1" for the old meaning, or compat: null to silence this warning.',
  },
];

/** Warns of options that the core found suspicious. */
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

/** The event that a name with a typing error may mean: `Up`, `upp`, `updated`. */
function meant(name, types) {
  const lower = name.toLowerCase();
  const isNear = (type) =>
    Math.abs(type.length - lower.length) <= 2 && (lower.startsWith(type) || type.startsWith(lower));
  return types.find((type) => type === lower) ?? types.find(isNear);
}

/** Warns of a listener for an event that there is not, if the name is like one that there is. */
function warnOfEvent(name, types) {
  const near = typeof name === 'string' && !types.includes(name) && meant(name, types);
  if (near) {
    warnOnce('CASTER_UNKNOWN_EVENT', `there is no event ${JSON.stringify(name)}; did you mean "${near}"?`);
  }
}

let hinted = false;

/** Warns of the first hint about datagrams that cannot be understood. */
function warnOfHint(text) {
  if (!hinted) {
    hinted = true;
    warnOnce('CASTER_HINT', text);
  }
}

module.exports = { warnOfEvent, warnOfHabits, warnOfHint, warnOfOptions };
