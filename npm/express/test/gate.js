'use strict';

// What the tests need of a gate: a key, its JWKS file, assertions for requests,
// and a client that sends them.
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

const issuer = 'https://shop.example';
const audience = 'http://127.0.0.1:3000';
const host = 'shop.example';
const expresses = { 'Express 5': require('express'), 'Express 4': require('express4') };

const b64 = (v) => Buffer.from(v).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);
const digest = (bytes) => `sha-256:${crypto.createHash('sha256').update(bytes).digest('base64url')}`;

function newKey(kid) {
  const pair = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...pair, kid, jwk: { ...pair.publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid } };
}

const key = newKey('one');
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hauberk-express-'));
process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));

function jwks(name, ...keys) {
  const file = path.join(dir, name);
  fs.writeFileSync(`${file}.new`, JSON.stringify({ keys: keys.map((k) => k.jwk) }), { mode: 0o644 });
  fs.renameSync(`${file}.new`, file);
  return file;
}

const file = jwks('jwks.json', key);

// claims are those of an identity for a request.
function claims(method, target, body, more) {
  return {
    iss: issuer, aud: audience, iat: now(), exp: now() + 60, jti: b64(crypto.randomBytes(16)), host, htm: method, htu: target,
    body: body === undefined ? 'none' : digest(body),
    sub: 'u_ada', name: 'ada', roles: ['admin'], email: 'ada@shop.example', tenant: 'blue', amr: ['pwd'], auth_time: now() - 30, sid: 's1', ...more,
  };
}

function anonymous(method, target, more) {
  const { iss, aud, iat, exp, jti, host: at, htm, htu, body } = claims(method, target);
  return { iss, aud, iat, exp, jti, host: at, htm, htu, body, ...more };
}

// sign writes a compact JWS of what may be text already.
function sign(payload, { by = key, header = { alg: 'ES256', typ: 'hauberk-id+jwt', kid: by.kid }, encoding = 'ieee-p1363' } = {}) {
  const text = (v) => (typeof v === 'string' ? v : JSON.stringify(v));
  const input = `${b64(text(header))}.${b64(text(payload))}`;
  return `${input}.${crypto.sign('sha256', Buffer.from(input), { key: by.privateKey, dsaEncoding: encoding }).toString('base64url')}`;
}

const signAnonymous = (payload) => sign(payload, { header: { alg: 'ES256', typ: 'hauberk-anon+jwt', kid: key.kid } });

// listen starts a server for one test.
function listen(t, app) {
  const server = http.createServer(app);
  t.after(() => { server.closeAllConnections(); server.close(); });
  return new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server.address().port)); });
}

// ask sends one request and returns the answer.
function ask(port, { method = 'GET', target = '/', headers = {}, body, agent, send } = {}) {
  return new Promise((resolve, reject) => {
    const length = body === undefined || headers['transfer-encoding'] ? {} : { 'content-length': Buffer.byteLength(body), 'content-type': 'application/octet-stream' };
    const req = http.request({ port, host: '127.0.0.1', method, path: target, headers: { host, ...length, ...headers }, agent }, (res) => {
      const pieces = [];
      res.on('data', (p) => pieces.push(p)).on('error', reject).on('end', () => {
        const text = Buffer.concat(pieces).toString();
        resolve({ status: res.statusCode, headers: res.headers, text, json: () => JSON.parse(text) });
      });
    });
    req.on('error', reject);
    if (send) send(req);
    else req.end(body);
  });
}

// asked is ask with the assertion that the gate would send along.
function asked(port, how = {}) {
  const { method = 'GET', target = '/', body, more, headers } = how;
  return ask(port, { ...how, headers: { 'hauberk-identity': sign(claims(method, target, body, more)), ...headers } });
}

module.exports = { issuer, audience, host, expresses, b64, now, digest, newKey, key, dir, jwks, file, claims, anonymous, sign, signAnonymous, listen, ask, asked };
