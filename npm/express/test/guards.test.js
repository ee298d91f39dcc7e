'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const { WebSocket, WebSocketServer } = require('ws');
const { hauberk, requireUser, requireRole, requireScope, requireFresh } = require('@hauberk/express');
const { host, expresses, issuer, audience, dir, file, now, claims, anonymous, sign, signAnonymous, listen, ask } = require('./gate.js');

const options = { keys: file, issuer, audience };
const signed = (target, more, method = 'GET') => ({ 'hauberk-identity': sign(claims(method, target, undefined, more)) });
const nobody = (target, method = 'GET') => ({ 'hauberk-identity': signAnonymous(anonymous(method, target)) });
const visit = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', accept: 'text/html' };

function guarded(express) {
  const app = express();
  app.use(hauberk(options));
  app.all('/user', requireUser(), ok);
  app.all('/page', requireUser({ redirect: true }), ok);
  app.get('/role', requireRole('editor', 'admin'), ok);
  app.get('/role/page', requireRole('editor', { redirect: true }), ok);
  app.get('/scope', requireScope('notes:read', 'notes:write'), ok);
  app.get('/fresh', requireFresh(300), ok);
  app.get('/fresh/page', requireFresh(300, { redirect: true }), ok);
  app.get('/forged', (req, res, next) => { req.user = { id: 'eve', roles: ['admin'] }; next(); }, requireRole('admin'), ok);
  app.use('/sub', express.Router().get('/page', requireUser({ redirect: true }), ok));
  app.use(requireUser({ redirect: true }), ok);
  app.use((err, req, res, next) => res.status(err.status).send(err.code)); // eslint-disable-line no-unused-vars
  return app;
}

function ok(req, res) { res.send('in'); }

for (const [name, express] of Object.entries(expresses)) {
  test(`${name}: a guard lets in who may and says by status and code why not`, async (t) => {
    const port = await listen(t, guarded(express));
    const got = async (target, headers, method = 'GET') => {
      const a = await ask(port, { target, headers, method });
      return `${a.status} ${a.headers.location ?? a.text}`;
    };
    const scope = (words) => signed('/scope', { scope: words });
    const cases = [
      ['/user', signed('/user'), '200 in'],
      ['/user', nobody('/user'), '401 EHAUBERKSIGNIN'],
      ['/user', { ...nobody('/user'), ...visit }, '401 EHAUBERKSIGNIN'],
      ['/page', { ...nobody('/page'), ...visit }, '303 /.hauberk/sign-in?to=%2Fpage'],
      ['/page', { ...nobody('/page'), accept: 'text/html,*/*' }, '303 /.hauberk/sign-in?to=%2Fpage'],
      ['/page', { ...nobody('/page'), accept: '*/*' }, '401 EHAUBERKSIGNIN'],
      ['/page', { ...nobody('/page'), ...visit, 'sec-fetch-dest': 'iframe' }, '401 EHAUBERKSIGNIN'],
      ['/page', { ...nobody('/page'), ...visit, 'sec-fetch-mode': 'cors' }, '401 EHAUBERKSIGNIN'],
      ['/page?a=1&b=%2F', { ...nobody('/page?a=1&b=%2F'), ...visit }, '303 /.hauberk/sign-in?to=%2Fpage%3Fa%3D1%26b%3D%252F'],
      ['/sub/page', { ...nobody('/sub/page'), ...visit }, '303 /.hauberk/sign-in?to=%2Fsub%2Fpage'],
      ['//evil.example/', { ...nobody('//evil.example/'), ...visit }, '303 /.hauberk/sign-in?to=%2F'],
      ['/\\evil.example/', { ...nobody('/\\evil.example/'), ...visit }, '303 /.hauberk/sign-in?to=%2F'],
      ['/role', signed('/role'), '200 in'],
      ['/role', signed('/role', { roles: ['Admin', 'reader'] }), '403 EHAUBERKROLE'],
      ['/role', signed('/role', { roles: [] }), '403 EHAUBERKROLE'],
      ['/role', nobody('/role'), '401 EHAUBERKSIGNIN'],
      ['/role/page', { ...signed('/role/page'), ...visit }, '403 EHAUBERKROLE'],
      ['/role/page', { ...nobody('/role/page'), ...visit }, '303 /.hauberk/sign-in?to=%2Frole%2Fpage'],
      ['/scope', scope('notes:write notes:read'), '200 in'],
      ['/scope', scope('notes:read'), '403 EHAUBERKSCOPE'],
      ['/scope', scope('notes:readx notes:write'), '403 EHAUBERKSCOPE'],
      ['/scope', signed('/scope'), '403 EHAUBERKSCOPE'],
      ['/fresh', signed('/fresh', { auth_time: now() - 290 }), '200 in'],
      ['/fresh', signed('/fresh', { auth_time: now() - 302 }), '401 EHAUBERKFRESH'],
      ['/fresh', signed('/fresh', { auth_time: 0 }), '401 EHAUBERKFRESH'],
      ['/fresh/page', { ...signed('/fresh/page', { auth_time: 0 }), ...visit }, '303 /.hauberk/confirm?to=%2Ffresh%2Fpage'],
      ['/forged', nobody('/forged'), '401 EHAUBERKSIGNIN'],
      ['/forged', signed('/forged', { roles: ['reader'] }), '403 EHAUBERKROLE'],
    ];
    for (const [target, headers, want] of cases) assert.equal(await got(target, headers), want, target);
    assert.equal(await got('/page', { ...nobody('/page', 'POST'), ...visit }, 'POST'), '401 EHAUBERKSIGNIN');
  });

  test(`${name}: a guard without hauberk() before it lets nobody in`, async (t) => {
    const app = express();
    app.use((req, res, next) => { req.user = { id: 'eve', roles: ['admin'] }; next(); });
    app.get('/', requireUser(), ok);
    app.use((err, req, res, next) => res.status(err.status).send(err.code)); // eslint-disable-line no-unused-vars
    const port = await listen(t, app);
    assert.equal((await ask(port)).text, 'EHAUBERKMOUNT');
  });

  test(`${name}: what an app is told cannot be changed`, async (t) => {
    const app = express();
    app.use(hauberk(options));
    app.use((req, res) => res.json([req.user, req.user.roles, req.user.scopes, req.user.amr, req.auth, req.auth.payload, req.auth.payload.roles].map(Object.isFrozen)));
    const port = await listen(t, app);
    assert.deepEqual((await ask(port, { headers: signed('/') })).json(), Array(7).fill(true));
  });

  test(`${name}: the gate learns that a page uses its nonce when the page does`, async (t) => {
    const app = express();
    const nonce = 'abcdefghijklmnopqrstuvwx';
    app.use(hauberk(options));
    app.engine('tpl', (view, locals, done) => done(null, view.includes('using') ? `${locals.title}${locals.cspNonce}` : `${locals.title}${JSON.stringify(Object.keys(locals.cspNonce))}`));
    app.set('views', dir);
    app.set('view engine', 'tpl');
    app.get('/used', (req, res) => res.send(res.locals.cspNonce));
    app.get('/unused', (req, res) => res.send('x'));
    app.get('/template', (req, res) => { res.locals.title = 't'; res.render('using', {}); });
    app.get('/template/bare', (req, res) => { res.locals.title = 't'; res.render('using'); });
    app.get('/template/call', (req, res) => { res.locals.title = 't'; res.render('using', (err, text) => res.send(err ?? text)); });
    app.get('/template/unused', (req, res) => res.render('idle', { title: '' }));
    app.get('/own', (req, res) => { res.locals.cspNonce = 'own'; res.send(res.locals.cspNonce); });
    app.get('/own/template', (req, res) => { res.locals.cspNonce = 'own'; res.locals.title = ''; res.render('using'); });
    for (const view of ['using', 'idle']) {
      fs.writeFileSync(path.join(dir, `${view}.tpl`), '');
    }
    const port = await listen(t, app);
    const got = async (target, value = nonce) => {
      const a = await ask(port, { target, headers: { ...signed(target), ...(value && { 'hauberk-csp-nonce': value }) } });
      return [a.text, a.headers['hauberk-csp-nonce']];
    };
    assert.deepEqual(await got('/used'), [nonce, nonce]);
    assert.deepEqual(await got('/unused'), ['x', undefined]);
    for (const target of ['/template', '/template/bare', '/template/call']) assert.deepEqual(await got(target), [`t${nonce}`, nonce], target);
    assert.equal((await got('/template/unused'))[1], undefined);
    for (const target of ['/own', '/own/template']) assert.deepEqual(await got(target), ['own', undefined], target);
    for (const wrong of ['', 'short', `${nonce}x`, "abcdefghijklmnopqrstuv';", `${nonce}, ${nonce}`]) assert.deepEqual(await got('/used', wrong), ['', undefined], wrong);
    assert.deepEqual(await got('/template', ''), ['t', undefined]);
  });
}

test('a guard that is set up wrong stops the start', () => {
  for (const make of [() => requireRole(), () => requireRole(''), () => requireRole({ redirect: true }), () => requireRole(7), () => requireScope(), () => requireFresh(), () => requireFresh('300'), () => requireFresh(0), () => requireUser({ redirct: true }), () => requireUser({ redirect: '/login' })]) {
    assert.throws(make, TypeError, make.toString());
  }
});

test('a WebSocket opens for whom the gate signed, and for nobody else', async (t) => {
  const gate = hauberk(options);
  const server = http.createServer();
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', async (req, socket, head) => {
    socket.on('error', () => {});
    const { user } = await gate.verifyUpgrade(req).catch(() => ({}));
    if (!user) return socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n');
    return sockets.handleUpgrade(req, socket, head, (ws) => ws.send(user.id));
  });
  t.after(() => { server.closeAllConnections(); server.close(); sockets.close(); for (const one of sockets.clients) one.terminate(); });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const open = (target, headers) => new Promise((resolve) => {
    const ws = new WebSocket(`ws://127.0.0.1:${server.address().port}${target}`, { headers: { host, ...headers } });
    ws.on('message', (text) => { resolve(String(text)); ws.close(); }).on('error', (err) => resolve(err.message));
  });
  assert.equal(await open('/live?x=1', signed('/live?x=1')), 'u_ada');
  for (const headers of [{}, signed('/live'), nobody('/live?x=1'), signed('/live?x=1', { htm: 'POST' })]) assert.match(await open('/live?x=1', headers), /401/);
});
