// What the programs of README.md take from their surroundings.
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { createNode } = require('caster');

const { signal } = new AbortController();

