'use strict';

// Every attack stands beside its innocent twin: the same request, signed as the
// gate signs it.
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const http2 = require('node:http2');
const net = require('node:net');
const { test } = require('node:test');
const { hauberk } = require('@hauberk/express');
const { expresses, issuer, audience, host, file, b64, now, digest, key, newKey, claims, anonymous, sign, signAnonymous, listen, ask } = require('./gate.js');

const stranger = newKey('one');
const unlisted = newKey('two');
const get = (more) => claims('GET', '/account?id=7', undefined, more);
const sum = (target) => crypto.createHash('sha256').update(target).digest('base64url');
const header = (more) => ({ alg: 'ES256', typ: 'hauberk-id+jwt', kid: 'one', ...more });

// letters puts other letters at the end of a part that stand for the same bytes.
function respelled(token) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(token.at(-1));
  return token.slice(0, -1) + alphabet[last ^ 1];
}

const hs256 = () => {
  const input = `${b64(JSON.stringify(header({ alg: 'HS256' })))}.${b64(JSON.stringify(get()))}`;
  const secret = key.publicKey.export({ type: 'spki', format: 'pem' });
  return `${input}.${crypto.createHmac('sha256', secret).update(input).digest('base64url')}`;
};

const without = (name) => { const c = get(); delete c[name]; return c; };
const again = (name, value) => JSON.stringify(get()).replace(/^\{/, `{${JSON.stringify(name)}:${JSON.stringify(value)},`);

const refused = {
  'no header': () => undefined,
  'an empty header': () => '',
  'alg none': () => `${b64(JSON.stringify(header({ alg: 'none' })))}.${b64(JSON.stringify(get()))}.`,
  'alg none with a signature': () => sign(get(), { header: header({ alg: 'none' }) }),
  'alg HS256 by the public key': hs256,
  'alg ES384 in name': () => sign(get(), { header: header({ alg: 'ES384' }) }),
  'alg in lower case': () => sign(get(), { header: header({ alg: 'es256' }) }),
  'a key of a stranger under a known kid': () => sign(get(), { by: stranger }),
  'a kid that is not published': () => sign(get(), { by: unlisted }),
  'a kid that every object has': () => sign(get(), { header: header({ kid: '__proto__' }) }),
  'no kid': () => sign(get(), { header: { alg: 'ES256', typ: 'hauberk-id+jwt' } }),
  'a jku': () => sign(get(), { by: stranger, header: header({ jku: 'https://evil.example/jwks.json' }) }),
  'a jku beside a right signature': () => sign(get(), { header: header({ jku: 'https://shop.example/jwks.json' }) }),
  'a jwk': () => sign(get(), { by: stranger, header: header({ jwk: stranger.jwk }) }),
  'an x5u': () => sign(get(), { header: header({ x5u: 'https://evil.example/' }) }),
  'a crit': () => sign(get(), { header: header({ crit: ['b64'], b64: false }) }),
  'a signature in DER': () => sign(get(), { encoding: 'der' }),
  'a signature of zeros': () => `${sign(get()).split('.').slice(0, 2).join('.')}.${b64(Buffer.alloc(64))}`,
  'a signature with a byte more': () => { const t = sign(get()).split('.'); return [t[0], t[1], b64(Buffer.concat([Buffer.from(t[2], 'base64url'), Buffer.of(0)]))].join('.'); },
  'a signature in other letters': () => respelled(sign(get())),
  'padding': () => `${sign(get())}==`,
  'the letters of plain base64': () => { const t = sign(get({ name: '???>>>' })).split('.'); return [t[0], t[1].replace(/_/g, '/').replace(/-/g, '+'), t[2]].join('.'); },
  'a space inside': () => sign(get()).replace('.', '. '),
  'two parts': () => sign(get()).split('.').slice(0, 2).join('.'),
  'four parts': () => `${sign(get())}.e30`,
  'two assertions with a comma': () => `${sign(get())}, ${sign(get())}`,
  'more than 8 KiB': () => sign(get({ name: 'x'.repeat(7000) })),
  'a typ of plain JWT': () => sign(get(), { header: header({ typ: 'JWT' }) }),
  'a typ in capitals': () => sign(get(), { header: header({ typ: 'HAUBERK-ID+JWT' }) }),
  'a typ with application/': () => sign(get(), { header: header({ typ: 'application/hauberk-id+jwt' }) }),
  'no typ': () => sign(get(), { header: { alg: 'ES256', kid: 'one' } }),
  'an anonymous assertion that says it is somebody': () => signAnonymous(get()),
  'an anonymous assertion under the typ of identities': () => sign(anonymous('GET', '/account?id=7')),
  'another issuer': () => sign(get({ iss: 'https://shop.example.evil' })),
  'an issuer with a slash more': () => sign(get({ iss: `${issuer}/` })),
  'no issuer': () => sign(without('iss')),
  'another audience': () => sign(get({ aud: 'http://127.0.0.1:3001' })),
  'a list of audiences': () => sign(get({ aud: [audience] })),
  'no audience': () => sign(without('aud')),
  'an end that has been': () => sign(get({ iat: now() - 66, exp: now() - 6 })),
  'a beginning to come': () => sign(get({ iat: now() + 7, exp: now() + 60 })),
  'a life of an hour': () => sign(get({ exp: now() + 3600 })),
  'an end before the beginning': () => sign(get({ iat: now() + 2, exp: now() + 1 })),
  'times in text': () => sign(get({ exp: String(now() + 60) })),
  'no end': () => sign(without('exp')),
  'a broken number': () => sign(get({ exp: now() + 59.5 })),
  'a time that the gate does not write': () => sign(get({ nbf: now() })),
  'no jti': () => sign(without('jti')),
  'another host': () => sign(get({ host: 'other.example' })),
  'another port': () => sign(get({ host: `${host}:8443` })),
  'the host in capitals': () => sign(get({ host: host.toUpperCase() })),
  'no host': () => sign(without('host')),
  'another method': () => sign(get({ htm: 'POST' })),
  'the method in lower case': () => sign(get({ htm: 'get' })),
  'another path': () => sign(get({ htu: '/admin?id=7' })),
  'another query': () => sign(get({ htu: '/account?id=8' })),
  'no query': () => sign(get({ htu: '/account' })),
  'the target in absolute form': () => sign(get({ htu: 'http://127.0.0.1:3000/account?id=7' })),
  'the path in another spelling': () => sign(get({ htu: '/%61ccount?id=7' })),
  'no target': () => sign(without('htu')),
  'the target and its digest': () => sign(get({ htu_s256: sum('/account?id=7') })),
  'the digest of another target': () => sign(get({ htu: undefined, htu_s256: sum('/account?id=8') })),
  'a digest in another alphabet': () => sign(get({ htu: undefined, htu_s256: crypto.createHash('sha256').update('/account?id=7').digest('base64') })),
  'half a digest': () => sign(get({ htu: undefined, htu_s256: sum('/account?id=7').slice(0, 22) })),
  'a digest that is no text': () => sign(get({ htu: undefined, htu_s256: [sum('/account?id=7')] })),
  'a digest of nothing': () => sign(get({ htu: undefined, htu_s256: '' })),
  'the digest of a body where there is none': () => sign(get({ body: digest('x') })),
  'a binding that is not known': () => sign(get({ body: 'md5:abc' })),
  'no word of the body': () => sign(without('body')),
  'no subject': () => sign(without('sub')),
  'an empty subject': () => sign(get({ sub: '' })),
  'roles in one text': () => sign(get({ roles: 'admin' })),
  'roles that are no words': () => sign(get({ roles: [['admin']] })),
  'an e-mail address that is no text': () => sign(get({ email: { toString: 'x' } })),
  'a scope in a list': () => sign(get({ scope: ['notes:read'] })),
  'no time of sign-in': () => sign(without('auth_time')),
  'a subject said twice': () => sign(again('sub', 'u_eve')),
  'a subject said twice, once by escapes': () => sign(again('sub', 'u_eve').replace('"sub"', '"s\\u0075b"')),
  'an alg said twice': () => sign(get(), { header: '{"alg":"none","alg":"ES256","typ":"hauberk-id+jwt","kid":"one"}' }),
  'claims that are a list': () => sign([get()]),
  'claims that are no JSON': () => sign('{"iss":'),
  'claims behind a byte order mark': () => sign(`\ufeff${JSON.stringify(get())}`),
  'claims that are no UTF-8': () => {
    const input = `${b64(JSON.stringify(header()))}.${Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xff), Buffer.from('"}')]).toString('base64url')}`;
    return `${input}.${crypto.sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  },
};

function whoami(express, log) {
  const app = express();
  app.use(hauberk({ keys: file, issuer, audience, onError: (err) => log?.push(err) }));
  app.all(/.*/, (req, res) => res.json({ user: req.user ?? null, auth: req.auth, signedIn: req.isAuthenticated() }));
  return app;
}

for (const [name, express] of Object.entries(expresses)) {
  test(`${name}: what the gate did not sign for this request is refused without a reason`, async (t) => {
    const log = [];
    const port = await listen(t, whoami(express, log));
    for (const [what, make] of Object.entries(refused)) {
      const token = make();
      const got = await ask(port, { target: '/account?id=7', headers: token === undefined ? {} : { 'hauberk-identity': token } });
      assert.equal(got.status, 401, what);
      assert.equal(got.text, '{"type":"about:blank","title":"Unauthorized","status":401}', what);
      assert.equal(got.headers['content-type'], 'application/problem+json');
      assert.equal(got.headers['cache-control'], 'no-store');
      assert.equal(log.at(-1).code, 'EHAUBERKIDENTITY', what);
    }
    assert.equal(log.length, Object.keys(refused).length);
  });

  test(`${name}: what the gate signed for this request is believed`, async (t) => {
    const port = await listen(t, whoami(express));
    const fine = {
      'as the gate writes it': get(),
      'without what need not be': Object.fromEntries(Object.entries(get()).filter(([k]) => !['email', 'tenant', 'sid', 'name'].includes(k))),
      'nearly over': get({ iat: now() - 62, exp: now() - 2 }),
      'from a clock that is ahead': get({ iat: now() + 3, exp: now() + 60 }),
      'names alike in two objects': get({ more: { sub: 1, deep: [{ sub: 2 }, { sub: 3 }] } }),
      'the target by its digest': JSON.stringify(get({ htu: undefined, htu_s256: sum('/account?id=7') })),
      'escapes and strange letters': JSON.stringify(get({ name: 'ä"\\:{}[]," ' })).replace('shop', '\\u0073hop'),
    };
    for (const [what, payload] of Object.entries(fine)) {
      const got = await ask(port, { target: '/account?id=7', headers: { 'hauberk-identity': sign(payload) } });
      assert.equal(got.status, 200, what);
      assert.equal(got.json().user.id, 'u_ada');
      assert.deepEqual(got.json().user.roles, ['admin']);
      assert.equal(got.json().signedIn, true);
    }
    for (const spelled of ['Hauberk-Identity', 'HAUBERK-IDENTITY', 'hAUBERK-iDENTITY']) {
      const got = await ask(port, { target: '/account?id=7', headers: { [spelled]: sign(get()) } });
      assert.equal(got.status, 200, spelled);
    }
  });

  test(`${name}: an anonymous assertion is nobody`, async (t) => {
    const port = await listen(t, whoami(express));
    const got = await ask(port, { target: '/x', headers: { 'hauberk-identity': signAnonymous(anonymous('GET', '/x')) } });
    assert.equal(got.status, 200);
    assert.equal(got.json().user, null);
    assert.equal(got.json().auth.anonymous, true);
    assert.equal(got.json().signedIn, false);
  });

  test(`${name}: a header that comes twice is refused, in whatever letters`, async (t) => {
    const port = await listen(t, whoami(express));
    const token = sign(claims('GET', '/'));
    const two = (a, b) => ['Host', host, a, token, b, token];
    for (const headers of [two('Hauberk-Identity', 'Hauberk-Identity'), two('hauberk-identity', 'HAUBERK-IDENTITY')]) {
      assert.equal((await raw(port, 'GET / HTTP/1.1', headers)).status, 401);
    }
    assert.equal((await raw(port, 'GET / HTTP/1.1', ['Host', host, 'Hauberk-Identity', token])).status, 200);
    assert.equal((await raw(port, 'GET / HTTP/1.1', ['Host', host, 'Hauberk_Identity', token])).status, 401);
  });

  test(`${name}: the host is compared in small letters, and comes once`, async (t) => {
    const port = await listen(t, whoami(express));
    const send = (said, ...sent) => raw(port, 'GET / HTTP/1.1', [...sent.flatMap((one) => ['Host', one]), 'Hauberk-Identity', sign(claims('GET', '/', undefined, { host: said }))]).then((a) => a.status);
    assert.equal(await send('shop.example', 'SHOP.example'), 200);
    assert.equal(await send('shop.example:8443', 'shop.example:8443'), 200);
    assert.equal(await send('[::1]:8443', '[::1]:8443'), 200);
    assert.equal(await send('shop.example', 'other.example'), 401);
    assert.equal(await send('shop.example', 'shop.example:8443'), 401);
    assert.notEqual(await send('shop.example', 'shop.example', 'other.example'), 200);
    assert.notEqual(await send('shop.example', 'other.example', 'shop.example'), 200);
    const anon = (at) => ask(port, { headers: { host: at, 'hauberk-identity': signAnonymous(anonymous('GET', '/')) } }).then((a) => a.status);
    assert.deepEqual([await anon(host), await anon('other.example')], [200, 401]);
  });

  test(`${name}: odd targets are compared byte by byte`, async (t) => {
    const port = await listen(t, whoami(express));
    const odd = ['/a%2Fb?x=1;y=2', '//', '//evil.example/x', '/?', '/a?', '/%C3%A9', '/a?b=é', '/a/../b', '/a\\b', "/'\"<>", '/a?b?c#', '/%00'];
    for (const target of odd) {
      const bytes = Buffer.from(target, 'utf8').toString('latin1');
      const send = (htu) => raw(port, `GET ${bytes} HTTP/1.1`, ['Host', host, 'Hauberk-Identity', sign(claims('GET', htu))]);
      const got = await send(target);
      if (got.status === 400) continue; // Node does not take it, so no app sees it.
      assert.equal(got.status, 200, target);
      assert.equal((await send(`${target}x`)).status, 401, target);
      if (target !== '/') assert.equal((await send(target.replace(/\?$/, '') === target ? `${target}?` : target.slice(0, -1))).status, 401, target);
    }
  });

  test(`${name}: a polluted prototype adds nobody`, async (t) => {
    const port = await listen(t, whoami(express));
    Object.prototype.sub = 'u_eve'; // eslint-disable-line no-extend-native
    t.after(() => { delete Object.prototype.sub; });
    const got = await ask(port, { target: '/x', headers: { 'hauberk-identity': signAnonymous(anonymous('GET', '/x')) } });
    assert.equal(got.json().user, null);
    assert.equal((await ask(port, { target: '/account?id=7', headers: { 'hauberk-identity': sign(without('sub')) } })).status, 401);
    delete Object.prototype.sub;
  });

  test(`${name}: a write is done once, a read may come again`, async (t) => {
    const port = await listen(t, whoami(express));
    const send = (method, token, body) => ask(port, { method, body, headers: { 'hauberk-identity': token } }).then((a) => a.status);
    const write = sign(claims('POST', '/', 'amount=1'));
    assert.equal(await send('POST', write, 'amount=2'), 401, 'another body');
    assert.equal(await send('PUT', write, 'amount=1'), 401, 'another method');
    assert.equal(await send('POST', write, 'amount=1'), 200);
    assert.equal(await send('POST', write, 'amount=1'), 401, 'again');
    const removal = sign(claims('DELETE', '/'));
    assert.deepEqual([await send('DELETE', removal), await send('DELETE', removal)], [200, 401]);
    const read = sign(claims('GET', '/'));
    assert.deepEqual([await send('GET', read), await send('GET', read), await send('GET', read)], [200, 200, 200]);
  });

  test(`${name}: a log that fails lets nobody in and ends nothing`, async (t) => {
    const app = express();
    app.use(hauberk({ keys: file, issuer, audience, onError: () => { throw new Error('disk full'); } }));
    app.use((req, res) => res.send('in'));
    const port = await listen(t, app);
    assert.equal((await ask(port)).status, 401);
  });

  test(`${name}: an app that is wired wrong says so at its first request`, async (t) => {
    const wrong = {
      'a parser before it': (app, gate) => { app.use(express.json()); app.use(gate); },
      'a path of its own': (app, gate) => app.use('/api', gate),
      'a target that was rewritten': (app, gate) => { app.use((req, res, next) => { req.url = '/other'; next(); }); app.use(gate); },
    };
    for (const [what, mount] of Object.entries(wrong)) {
      const app = express();
      mount(app, hauberk({ keys: file, issuer, audience }));
      app.use((req, res) => res.send('in'));
      app.use((err, req, res, next) => res.status(err.status).send(err.code)); // eslint-disable-line no-unused-vars
      const port = await listen(t, app);
      const got = await ask(port, { method: 'POST', target: '/api/x', body: '{}', headers: { 'content-type': 'application/json', 'hauberk-identity': sign(claims('POST', '/api/x', '{}')) } });
      assert.equal(`${got.status} ${got.text}`, '500 EHAUBERKMOUNT', what);
    }
  });
}

test('HTTP/2, which frames bodies without a length, is not taken', async (t) => {
  const gate = hauberk({ keys: file, issuer, audience });
  const server = http2.createServer((req, res) => {
    try {
      gate(req, res, () => res.end('in'));
    } catch (err) {
      res.end(err.code);
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`);
  t.after(() => { client.destroy(); server.close(); });
  let got = '';
  for await (const piece of client.request({ ':path': '/', 'hauberk-identity': sign(claims('GET', '/')) })) got += piece;
  assert.equal(got, 'EHAUBERKMOUNT');
});

test('an option that is missing or wrong stops the start', () => {
  const right = { keys: file, issuer, audience };
  const wrong = [
    [undefined, /issuer is missing/], [{ ...right, issuer: undefined }, /issuer is missing/], [{ ...right, audience: '' }, /audience is missing/],
    [{ ...right, keys: undefined }, /keys is the path/], [{ ...right, keys: 'https://shop.example/jwks.json' }, /no URL/], [{ ...right, keys: 'http://localhost/x' }, /no URL/],
    [{ ...right, keys: 'file:///x' }, /no URL/], [{ ...right, keys: 'unix:run/x.sock' }, /absolute/], [{ ...right, keys: '/nowhere/jwks.json' }, /ENOENT/],
    [{ ...right, audiance: 'x' }, /no option audiance/], [{ ...right, onError: 'log' }, /onError/],
  ];
  for (const [options, message] of wrong) assert.throws(() => hauberk(options), message);
  hauberk(right);
});

// raw writes a request as it is and returns the status of the answer.
function raw(port, line, headers) {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = net.connect(port, '127.0.0.1', () => {
      let head = `${line}\r\n`;
      for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
      socket.end(Buffer.from(`${head}Connection: close\r\n\r\n`, 'latin1'));
    });
    socket.on('data', (p) => { text += p; }).on('error', reject).on('close', () => resolve({ status: Number(text.split(' ')[1]), text }));
  });
}
