'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Seen } = require('../lib/seen.js');
const { now } = require('./gate.js');

test('what is remembered is bounded, and when it is full nothing is believed twice', (t) => {
  const real = Date.now;
  t.after(() => { Date.now = real; });
  const seen = new Seen();
  const write = (jti, exp = now() + 60) => seen.once('POST', { body: 'none', jti, exp });
  for (let i = 0; i < 100_000; i += 1) write(`one ${i}`);
  assert.throws(() => write('more'), { status: 503, code: 'EHAUBERKBUSY' });
  assert.throws(() => write('one 0'), { status: 401 });
  seen.once('GET', { body: 'none', jti: 'a read', exp: now() + 60 });
  Date.now = () => real() + 64_000;
  assert.throws(() => write('one 0'), { status: 401 }, 'as long as it would be believed');
  Date.now = () => real() + 66_000;
  write('more');
});
