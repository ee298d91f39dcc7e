'use strict';

// The same assertions by the hand of others: keys and signatures of jose.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const express = require('express');
const { hauberk } = require('@hauberk/express');
const { issuer, audience, dir, key, file, claims, anonymous, sign, listen, ask } = require('./gate.js');

async function set(t) {
  const jose = await import('jose');
  const { publicKey, privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
  const jwk = { ...await jose.exportJWK(publicKey), alg: 'ES256', use: 'sig', kid: await jose.calculateJwkThumbprint(await jose.exportJWK(publicKey)) };
  const keys = path.join(dir, 'jose.json');
  fs.writeFileSync(keys, JSON.stringify({ keys: [jwk] }));
  const app = express();
  app.use(hauberk({ keys, issuer, audience }));
  app.use((req, res) => res.send(req.user?.name ?? 'nobody'));
  const port = await listen(t, app);
  const send = async (token) => { const a = await ask(port, { target: '/a?b=1', headers: { 'hauberk-identity': token } }); return `${a.status} ${a.status === 200 ? a.text : ''}`.trim(); };
  return { jose, privateKey, kid: jwk.kid, send };
}

test('what jose signs is believed, and what it signs otherwise is not', async (t) => {
  const { jose, privateKey, kid, send } = await set(t);
  const mine = (header, payload = claims('GET', '/a?b=1')) => new jose.SignJWT(payload).setProtectedHeader({ alg: 'ES256', typ: 'hauberk-id+jwt', kid, ...header }).sign(privateKey);
  for (let i = 0; i < 20; i += 1) assert.equal(await send(await mine()), '200 ada');
  assert.equal(await send(await mine({ typ: 'hauberk-anon+jwt' }, anonymous('GET', '/a?b=1'))), '200 nobody');
  assert.equal(await send(await mine({ typ: 'at+jwt' })), '401');
  assert.equal(await send(await mine({ jku: 'https://evil.example/' })), '401');
  const other = async (alg) => {
    const pair = await jose.generateKeyPair(alg);
    return new jose.SignJWT(claims('GET', '/a?b=1')).setProtectedHeader({ alg, typ: 'hauberk-id+jwt', kid }).sign(pair.privateKey);
  };
  for (const alg of ['ES256', 'ES384', 'ES512', 'EdDSA', 'RS256', 'PS256']) assert.equal(await send(await other(alg)), '401', alg);
  for (const alg of ['HS256', 'HS512']) {
    const token = await new jose.SignJWT(claims('GET', '/a?b=1')).setProtectedHeader({ alg, typ: 'hauberk-id+jwt', kid }).sign(Buffer.alloc(64, 7));
    assert.equal(await send(token), '401', alg);
  }
  assert.equal(await send(new jose.UnsecuredJWT(claims('GET', '/a?b=1')).encode()), '401');
  const flat = await new jose.FlattenedSign(Buffer.from('x')).setProtectedHeader({ alg: 'ES256', typ: 'hauberk-id+jwt', kid, b64: false, crit: ['b64'] }).sign(privateKey);
  assert.equal(await send(`${flat.protected}.${Buffer.from('x').toString('base64url')}.${flat.signature}`), '401');
});

test('jose believes what the tests sign', async () => {
  const jose = await import('jose');
  const found = await jose.jwtVerify(sign(claims('GET', '/')), jose.createLocalJWKSet(JSON.parse(fs.readFileSync(file))), { issuer, audience, typ: 'hauberk-id+jwt', algorithms: ['ES256'], maxTokenAge: 60 });
  assert.equal(found.payload.sub, 'u_ada');
  assert.equal(found.protectedHeader.kid, key.kid);
});
