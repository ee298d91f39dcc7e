'use strict';

// The notebook of examples/express, told of the gate's keys.
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { WebSocket } = require('ws');
const { host, issuer, audience, file, claims, anonymous, sign, signAnonymous, ask, asked } = require('./gate.js');

const example = path.join(__dirname, '..', '..', '..', 'examples', 'express');
const skip = !fs.existsSync(path.join(example, 'node_modules', '.package-lock.json')) && 'examples/express has no node_modules (npm ci)';

function start(t, env) {
  const child = spawn(process.execPath, ['server.js'], { cwd: example, env: { PATH: process.env.PATH, PORT: '0', ...env }, stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => child.kill());
  return new Promise((resolve, reject) => {
    child.on('exit', (code) => reject(new Error(`ended with ${code}`)));
    child.stdout.on('data', (line) => {
      const port = /:(\d+)$/m.exec(String(line).trim());
      if (port) resolve(Number(port[1]));
    });
  });
}

test('the example serves whom the gate signed for', { skip }, async (t) => {
  const port = await start(t, { HAUBERK_KEYS: file, HAUBERK_ISSUER: issuer, HAUBERK_AUDIENCE: audience });
  const nobody = (target, headers) => ask(port, { target, headers: { 'hauberk-identity': signAnonymous(anonymous('GET', target)), ...headers } });
  assert.equal((await ask(port)).status, 401);
  assert.equal((await ask(port, { target: '/style.css' })).status, 401);
  assert.match((await nobody('/')).text, /Log in<\/a>/);
  assert.match((await asked(port)).text, /<span>ada<\/span>[\s\S]*Log out/);
  assert.equal((await asked(port, { target: '/style.css' })).status, 200);

  const nonce = 'abcdefghijklmnopqrstuvwx';
  const office = await asked(port, { target: '/office', headers: { 'hauberk-identity': sign(claims('GET', '/office')), 'hauberk-csp-nonce': nonce } });
  assert.equal(office.status, 200);
  assert.ok(office.text.includes(`nonce="${nonce}"`));
  assert.equal(office.headers['hauberk-csp-nonce'], nonce);
  assert.equal((await asked(port, { target: '/office', more: { roles: ['reader'] } })).status, 403);
  const visit = await nobody('/office', { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' });
  assert.equal(`${visit.status} ${visit.headers.location}`, '303 /.hauberk/sign-in?to=%2Foffice');

  const json = (token, body) => ask(port, { method: 'POST', target: '/api/notes', body, headers: { 'content-type': 'application/json', 'hauberk-identity': token } });
  const note = '{"title":"On signing","text":"Signed for."}';
  const made = await json(sign(claims('POST', '/api/notes', note)), note);
  assert.equal(made.status, 201);
  assert.equal(made.json().author, 'ada');
  assert.equal((await json(sign(claims('POST', '/api/notes', note)), note.replace('for', 'off'))).status, 401);
  assert.equal((await json(signAnonymous(anonymous('POST', '/api/notes', { body: 'unbound' })), note)).status, 401);

  const open = (headers) => new Promise((resolve) => {
    const ws = new WebSocket(`ws://127.0.0.1:${port}/socket`, { headers: { host, ...headers } });
    ws.on('open', () => { resolve('open'); ws.close(); }).on('error', (err) => resolve(err.message));
  });
  assert.equal(await open({ 'hauberk-identity': sign(claims('GET', '/socket')) }), 'open');
  assert.match(await open({}), /401/);
});

test('the example without a gate has people of its own', { skip }, async (t) => {
  const port = await start(t, {});
  assert.equal((await ask(port)).status, 200);
  assert.equal((await ask(port, { target: '/office' })).status, 404);
  assert.match((await ask(port, { target: '/login' })).text, /name="password"/);
});
