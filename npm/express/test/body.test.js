'use strict';

// A body that was read and put back must be, to whoever reads it next, one
// that nobody has touched.
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const { Transform, PassThrough } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { setTimeout: wait } = require('node:timers/promises');
const { test } = require('node:test');
const multer = require('multer');
const { hauberk } = require('@hauberk/express');
const { expresses, issuer, audience, file, claims, anonymous, sign, signAnonymous, listen, ask, asked } = require('./gate.js');

const mebi = 1024 * 1024;
const sum = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');

function reader(express, log = []) {
  const app = express();
  app.use(hauberk({ keys: file, issuer, audience, onError: (err) => log.push(err.code) }));
  app.post('/json', express.json({ limit: '2mb' }), (req, res) => res.json(req.body));
  app.post('/form', express.urlencoded({ extended: false }), (req, res) => res.json(req.body));
  app.post('/raw', express.raw({ type: '*/*', limit: '2mb' }), (req, res) => res.send(sum(req.body)));
  app.post('/text', express.text({ type: '*/*' }), (req, res) => res.send(req.body));
  app.post('/file', multer({ storage: multer.memoryStorage() }).single('file'), (req, res) => res.send(`${req.body.remark} ${sum(req.file.buffer)}`));
  app.post('/data', (req, res) => {
    const hash = crypto.createHash('sha256');
    req.on('data', (p) => hash.update(p)).on('end', () => res.send(hash.digest('hex')));
  });
  app.post('/later', (req, res) => setTimeout(() => {
    const hash = crypto.createHash('sha256');
    req.on('data', (p) => hash.update(p)).on('end', () => res.send(hash.digest('hex')));
  }, 30));
  app.post('/readable', (req, res) => {
    const hash = crypto.createHash('sha256');
    req.on('readable', () => { for (let p; (p = req.read()) !== null;) hash.update(p); }).on('end', () => res.send(hash.digest('hex')));
  });
  app.post('/iterate', async (req, res) => {
    const hash = crypto.createHash('sha256');
    for await (const piece of req) hash.update(piece);
    res.send(hash.digest('hex'));
  });
  app.post('/pipe', (req, res) => req.pipe(res));
  app.post('/pipeline', async (req, res) => {
    const hash = crypto.createHash('sha256');
    await pipeline(req, new Transform({ transform(piece, _, done) { hash.update(piece); done(); } }), new PassThrough().resume());
    res.send(hash.digest('hex'));
  });
  app.post('/resume', (req, res) => req.on('end', () => res.send('ended')).resume());
  app.post('/ignore', (req, res) => res.send('ignored'));
  app.post('/bound', (req, res) => res.json({ bound: req.auth.bodyBound }));
  return app;
}

const summed = ['/raw', '/data', '/later', '/readable', '/iterate', '/pipeline'];

for (const [name, express] of Object.entries(expresses)) {
  test(`${name}: parsers and streams read a bound body as if nobody had`, async (t) => {
    const port = await listen(t, reader(express));
    for (const size of [0, 1, 100, 16 * 1024, 65_536, 65_537, mebi - 1, mebi]) {
      const body = crypto.randomBytes(size);
      for (const target of summed) {
        if (size === 0 && target === '/raw') continue; // express.raw leaves an empty body out
        assert.equal((await asked(port, { method: 'POST', target, body })).text, sum(body), `${target} ${size}`);
      }
      for (const target of ['/pipe', '/resume', '/ignore']) {
        assert.equal((await asked(port, { method: 'POST', target, body })).status, 200, `${target} ${size}`);
      }
    }
    const big = { list: Array.from({ length: 20_000 }, (_, i) => `line ${i}`) };
    const json = { 'content-type': 'application/json' };
    const sent = (target, body, headers) => asked(port, { method: 'POST', target, body, more: undefined, ...(headers && { headers: { ...headers, 'hauberk-identity': sign(claims('POST', target, body)) } }) });
    assert.deepEqual((await sent('/json', '{"a":[1,"ü"]}', json)).json(), { a: [1, 'ü'] });
    assert.deepEqual((await sent('/json', JSON.stringify(big), json)).json(), big);
    assert.equal((await sent('/json', '{"a":', json)).status, 400);
    assert.deepEqual((await sent('/form', 'a=1&b=%C3%BC', { 'content-type': 'application/x-www-form-urlencoded' })).json(), { a: '1', b: 'ü' });
    assert.equal((await sent('/text', 'grüezi')).text, 'grüezi');
    assert.equal((await sent('/pipe', 'there and back')).text, 'there and back');
    for (const size of [10, 700_000]) {
      const bytes = crypto.randomBytes(size);
      const body = Buffer.concat([
        Buffer.from('--b\r\nContent-Disposition: form-data; name="remark"\r\n\r\nseen\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: application/octet-stream\r\n\r\n'),
        bytes, Buffer.from('\r\n--b--\r\n')]);
      assert.equal((await sent('/file', body, { 'content-type': 'multipart/form-data; boundary=b' })).text, `seen ${sum(bytes)}`);
    }
  });

  test(`${name}: one connection carries many requests, whether the app reads their bodies or not`, async (t) => {
    const port = await listen(t, reader(express));
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    for (const [i, target] of ['/data', '/ignore', '/raw', '/ignore', '/pipe', '/bound', '/iterate', '/ignore', '/data'].entries()) {
      const body = crypto.randomBytes([mebi, 70_000, 3, mebi][i % 4]);
      const got = await asked(port, { method: 'POST', target, body, agent });
      assert.equal(got.status, 200, `${i} ${target}`);
      if (['/data', '/raw', '/iterate'].includes(target)) assert.equal(got.text, sum(body), `${i} ${target}`);
      const wrong = await ask(port, { method: 'POST', target, body, agent, headers: { 'hauberk-identity': sign(claims('POST', target, 'other')) } });
      assert.equal(wrong.status, 401);
    }
  });

  test(`${name}: bodies in pieces of any size arrive whole`, async (t) => {
    const port = await listen(t, reader(express));
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
    t.after(() => agent.destroy());
    const below = (n) => crypto.randomInt(n);
    const one = async (i) => {
      const body = crypto.randomBytes(below([10, 20_000, 140_000, mebi][i % 4]) + 1);
      const target = summed[below(summed.length)];
      const got = await asked(port, {
        method: 'POST', target, body, agent,
        send: async (req) => {
          for (let at = 0; at < body.length;) {
            const size = 1 + below(body.length);
            req.write(body.subarray(at, at + size));
            at += size;
            if (below(3) === 0) await wait(below(4));
          }
          req.end();
        },
      });
      assert.equal(got.text, sum(body), `${target} ${body.length}`);
    };
    for (let i = 0; i < 100; i += 10) await Promise.all(Array.from({ length: 10 }, (_, j) => one(i + j)));
  });

  test(`${name}: two requests in one packet keep their bodies apart`, async (t) => {
    const port = await listen(t, reader(express));
    const one = (body, end) => `POST /pipe HTTP/1.1\r\nHost: shop.example\r\nContent-Length: ${body.length}\r\nHauberk-Identity: ${sign(claims('POST', '/pipe', body))}\r\n${end}\r\n${body}`;
    const text = await new Promise((resolve, reject) => {
      let all = '';
      net.connect(port, '127.0.0.1', function send() { this.write(one('first', '') + one('second', 'Connection: close\r\n')); })
        .on('data', (p) => { all += p; }).on('error', reject).on('close', () => resolve(all));
    });
    assert.match(text, /first[\s\S]*second/);
    assert.equal(text.match(/HTTP\/1\.1 200/g).length, 2);
  });

  test(`${name}: a slow body is waited for, a broken one reaches nobody`, async (t) => {
    const log = [];
    const app = reader(express, log);
    const port = await listen(t, app);
    const slow = await asked(port, {
      method: 'POST', target: '/data', body: 'one two three',
      send: async (req) => {
        for (const piece of ['one ', 'two ', 'three']) { req.write(piece); await wait(20); }
        req.end();
      },
    });
    assert.equal(slow.text, sum('one two three'));
    await assert.rejects(asked(port, { method: 'POST', target: '/data', body: 'one two three', send: (req) => { req.write('one'); setTimeout(() => req.destroy(), 20); } }));
    for (let i = 0; i < 500 && log.length === 0; i += 1) await wait(10);
    assert.deepEqual(log, ['EHAUBERKBODY']);
  });

  test(`${name}: a body that waits for 100 Continue is asked for`, async (t) => {
    const port = await listen(t, reader(express));
    const got = await asked(port, {
      method: 'POST', target: '/data', body: 'wait', headers: { expect: '100-continue', 'hauberk-identity': sign(claims('POST', '/data', 'wait')) },
      send: (req) => { req.flushHeaders(); req.on('continue', () => req.end('wait')); },
    });
    assert.equal(got.text, sum('wait'));
  });

  test(`${name}: a body that the gate did not sign is refused`, async (t) => {
    const port = await listen(t, reader(express));
    const post = (body, said, headers) => ask(port, { method: 'POST', target: '/bound', body, headers: { ...headers, 'hauberk-identity': sign(claims('POST', '/bound', undefined, { body: said })) } });
    const of = (bytes) => claims('POST', '/', bytes).body;
    const chunked = { 'transfer-encoding': 'chunked' };
    const refused = {
      'another body': ['amount=2', of('amount=1')],
      'a longer body': ['amount=10', of('amount=1')],
      'a shorter body': ['amount=', of('amount=1')],
      'no body where one was': ['', of('amount=1')],
      'a body where none was': ['amount=1', 'none'],
      'a chunked body where none was': ['amount=1', 'none', chunked],
      'an empty chunked body where none was': ['', 'none', chunked],
      'a chunked body with a digest': ['amount=1', of('amount=1'), chunked],
      'a digest in hexadecimal': ['amount=1', `sha-256:${sum('amount=1')}`],
      'a digest with padding': ['amount=1', `${of('amount=1')}=`],
      'a short digest': ['amount=1', of('amount=1').slice(0, -3)],
      'more than a mebibyte with a digest': [Buffer.alloc(mebi + 1), of(Buffer.alloc(mebi + 1))],
    };
    for (const [what, args] of Object.entries(refused)) assert.equal((await post(...args)).status, 401, what);
    assert.deepEqual((await post('amount=1', of('amount=1'))).json(), { bound: true });
    assert.deepEqual((await post('', of(''))).json(), { bound: true });
    assert.deepEqual((await post('', 'none')).json(), { bound: true });
    assert.deepEqual((await post('amount=1', 'unbound')).json(), { bound: false });
    assert.deepEqual((await post('amount=1', 'unbound', chunked)).json(), { bound: false });
  });

  test(`${name}: a body without a digest streams`, async (t) => {
    const port = await listen(t, reader(express));
    const body = crypto.randomBytes(3 * mebi);
    for (const token of [sign(claims('POST', '/data', undefined, { body: 'unbound' })), signAnonymous(anonymous('POST', '/data', { body: 'unbound' }))]) {
      assert.equal((await ask(port, { method: 'POST', target: '/data', body, headers: { 'transfer-encoding': 'chunked', 'hauberk-identity': token } })).text, sum(body));
    }
  });

  test(`${name}: nothing is read for who has no assertion`, async (t) => {
    const port = await listen(t, reader(express));
    const got = await ask(port, { method: 'POST', target: '/data', headers: { 'content-length': mebi }, send: (req) => req.flushHeaders() });
    assert.equal(got.status, 401);
  });
}

test('the tests read the keys of this run', () => assert.ok(fs.existsSync(file)));
