'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { setTimeout: wait } = require('node:timers/promises');
const { test } = require('node:test');
const { hauberk } = require('@hauberk/express');
const express = require('express');
const { issuer, audience, dir, key, newKey, jwks, claims, sign, listen, ask } = require('./gate.js');

const second = newKey('two');

function app(keys, log = []) {
  const a = express();
  a.use(hauberk({ keys, issuer, audience, onError: (err) => log.push(err.message) }));
  a.use((req, res) => res.send('in'));
  return a;
}

const status = async (port, by) => (await ask(port, { headers: { 'hauberk-identity': sign(claims('GET', '/'), { by }) } })).status;

test('a file of keys is read again when it has changed, and its old keys go', async (t) => {
  const file = jwks('turning.json', key);
  const port = await listen(t, app(file));
  assert.deepEqual([await status(port, key), await status(port, second)], [200, 401]);
  jwks('turning.json', key, second);
  await wait(1100);
  assert.deepEqual([await status(port, key), await status(port, second)], [200, 200]);
  jwks('turning.json', second);
  await wait(1100);
  assert.deepEqual([await status(port, key), await status(port, second)], [401, 200]);
});

test('a file that breaks keeps its keys for a day and says so', async (t) => {
  const file = jwks('breaking.json', key);
  const log = [];
  const port = await listen(t, app(file, log));
  const real = Date.now;
  t.after(() => { Date.now = real; });
  for (const text of ['', '{', '{"keys":[]}', '[]', '{"keys":[],"keys":[]}', JSON.stringify({ keys: [{ ...second.jwk, d: 'AA' }] }), JSON.stringify({ keys: [second.jwk] }) + ' '.repeat(70_000)]) {
    fs.writeFileSync(file, text);
    Date.now = () => real() + 1500 * (log.length + 1);
    const before = log.length;
    assert.deepEqual([await status(port, key), await status(port, second)], [200, 401]);
    assert.match(log.slice(before).join(), /breaking\.json/);
  }
  fs.rmSync(file);
  Date.now = () => real() + 60 * 60 * 1000;
  assert.equal(await status(port, key), 200);
  Date.now = () => real() + 25 * 60 * 60 * 1000;
  assert.equal(await status(port, key), 401);
  jwks('breaking.json', key);
  Date.now = () => real() + 26 * 60 * 60 * 1000;
  assert.equal(await status(port, key), 200);
});

test('a file that is wrong at the start stops it', () => {
  const write = (text, mode = 0o644) => {
    const file = path.join(dir, 'wrong.json');
    fs.rmSync(file, { force: true, recursive: true });
    fs.writeFileSync(file, text);
    fs.chmodSync(file, mode);
    return file;
  };
  const set = (...all) => JSON.stringify({ keys: all });
  const wrong = [
    [write, '', /JSON/], [write, '{}', /list/], [write, set(), /no key/], [write, set(key.jwk, key.jwk), /id of its own/],
    [write, set({ ...key.jwk, kid: '' }), /id of its own/], [write, set({ ...key.jwk, x: `${key.jwk.x}=` }), /no point/],
    [write, set({ ...key.jwk, x: second.jwk.x }), /./], [write, set({ ...key.jwk, alg: 'HS256' }), /no key/], [write, set({ ...key.jwk, use: 'enc' }), /no key/],
    [write, set(null, 7, 'x'), /no key/], [write, set(...Array(17).fill(key.jwk)), /at most 16/], [write, set(key.privateKey.export({ format: 'jwk' })), /private/],
  ];
  for (const [make, text, message] of wrong) assert.throws(() => hauberk({ keys: make(text), issuer, audience }), message, text);
  if (process.platform !== 'win32') {
    assert.throws(() => hauberk({ keys: write(set(key.jwk), 0o666), issuer, audience }), /written by others/);
    assert.throws(() => hauberk({ keys: write(set(key.jwk), 0o664), issuer, audience }), /written by others/);
  }
  assert.throws(() => hauberk({ keys: dir, issuer, audience }), /no file/);
  hauberk({ keys: write(set(key.jwk)), issuer, audience });
});

// monitor is the gate's private socket.
async function monitor(t, answer) {
  const socket = path.join(dir, `${Math.random().toString(36).slice(2)}.sock`);
  const asked = [];
  const server = http.createServer((req, res) => { asked.push(req.url); answer(res); });
  await new Promise((resolve) => { server.listen(socket, resolve); });
  t.after(() => { server.closeAllConnections(); server.close(); });
  return { keys: `unix:${socket}`, asked, server };
}

test('the keys of a socket are asked for again at one that is not known, once in ten seconds', async (t) => {
  let known = [key];
  const gate = await monitor(t, (res) => res.end(JSON.stringify({ keys: known.map((k) => k.jwk) })));
  const port = await listen(t, app(gate.keys));
  const real = Date.now;
  t.after(() => { Date.now = real; });
  assert.equal(await status(port, key), 200);
  known = [key, second];
  for (let i = 0; i < 20; i += 1) assert.equal(await status(port, second), 401);
  assert.deepEqual(gate.asked, ['/jwks.json']);
  Date.now = () => real() + 10_000;
  assert.deepEqual(await Promise.all([status(port, second), status(port, second), status(port, key)]), [200, 200, 200]);
  assert.equal(gate.asked.length, 2);
  known = [second];
  Date.now = () => real() + 71_000;
  for (let i = 0; i < 500 && await status(port, key) === 200; i += 1) await wait(10);
  assert.deepEqual([await status(port, key), await status(port, second)], [401, 200]);
});

test('a socket that is not there, stands still, lies or pours lets nobody in, and is asked again', async (t) => {
  const real = Date.now;
  t.after(() => { Date.now = real; });
  let how = (res) => res.end('{}');
  const gate = await monitor(t, (res) => how(res));
  const log = [];
  const port = await listen(t, app(gate.keys, log));
  assert.equal(await status(port, key), 401);
  let past = 0;
  const hours = () => { past += 11_000; Date.now = () => real() + past; };
  for (const [answer, message] of [
    [(res) => { res.statusCode = 302; res.setHeader('Location', 'http://evil.example/'); res.end(); }, /answered 302/],
    [(res) => { for (let i = 0; i < 100; i += 1) res.write('x'.repeat(1024)); res.end(); }, /too large/],
    [(res) => { res.setHeader('Content-Length', 100); res.write('{'); setTimeout(() => res.destroy(), 20); }, /./],
    [() => {}, /abort/],
  ]) {
    how = answer;
    hours();
    log.length = 0;
    assert.equal(await status(port, key), 401);
    assert.match(log[0], message);
  }
  how = (res) => res.end(JSON.stringify({ keys: [key.jwk] }));
  hours();
  assert.equal(await status(port, key), 200);
  gate.server.close();
  gate.server.closeAllConnections();
  Date.now = () => real() + past + 3_600_000;
  assert.equal(await status(port, key), 200, 'for a day');

  const nowhere = await listen(t, app('unix:/nowhere/monitor.sock', log));
  Date.now = real;
  assert.equal(await status(nowhere, key), 401);
});
