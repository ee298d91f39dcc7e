'use strict';

// What npm would publish is packed, installed into an empty project and used
// there as its users use it.
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { before, test } = require('node:test');
const { host, dir, issuer, audience, file, claims, sign } = require('./gate.js');

const root = path.join(__dirname, '..');
const project = path.join(dir, 'project');
const manifest = require('../package.json');

const run = (command, args, cwd = project) => execFileSync(command, args, { cwd, encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'pipe'] });

let packed;

before(() => {
  fs.mkdirSync(path.join(project, 'node_modules', '@types'), { recursive: true });
  fs.writeFileSync(path.join(project, 'package.json'), '{"private":true}');
  packed = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', dir], root));
  packed = Array.isArray(packed) ? packed[0] : Object.values(packed)[0];
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--no-save', path.join(dir, packed.filename)]);
  const beside = { express: 'express', express4: 'express4', '@types/node': '@types/node', '@types/express': '@types/express' };
  for (const [name, from] of Object.entries(beside)) fs.symlinkSync(path.join(root, 'node_modules', from), path.join(project, 'node_modules', name), 'dir');
});

test('the package holds what it needs and no more', () => {
  const files = packed.files.map((f) => f.path).sort();
  assert.deepEqual(files, [
    'LICENSE', 'README.md', 'index.d.mts', 'index.d.ts', 'index.js', 'index.mjs',
    ...fs.readdirSync(path.join(root, 'lib')).map((f) => `lib/${f}`), 'package.json',
  ].sort());
  assert.ok(packed.unpackedSize < 80_000, `${packed.unpackedSize} bytes`);
  assert.equal(fs.readFileSync(path.join(root, 'LICENSE'), 'utf8'), fs.readFileSync(path.join(root, '..', '..', 'LICENSE'), 'utf8'));
});

test('the package depends on nothing and runs nothing when it is installed', () => {
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies', 'bundledDependencies']) assert.equal(manifest[kind], undefined, kind);
  assert.deepEqual(Object.keys(manifest.scripts), ['test']);
  const used = fs.readdirSync(path.join(root, 'lib')).map((f) => path.join('lib', f)).concat('index.js')
    .flatMap((f) => [...fs.readFileSync(path.join(root, f), 'utf8').matchAll(/require\('([^']+)'\)/g)].map((m) => m[1]));
  assert.deepEqual([...new Set(used)].filter((name) => !/^(node:|\.)/.test(name)), []);
});

test('every file that the exports name is there, types first', () => {
  for (const kind of ['import', 'require']) {
    const found = manifest.exports['.'][kind];
    assert.deepEqual(Object.keys(found), ['types', 'default']);
    for (const f of Object.values(found)) assert.ok(packed.files.some((p) => `./${p.path}` === f), f);
  }
});

const uses = {
  'cjs.cjs': "const hauberk = require('@hauberk/express'); const { hauberk: named, requireUser } = hauberk; const byDefault = hauberk.default;",
  'esm.mjs': "import hauberk, { hauberk as named, requireUser } from '@hauberk/express'; import { createRequire } from 'node:module'; const require = createRequire(import.meta.url); const byDefault = require('@hauberk/express');",
};

for (const [name, head] of Object.entries(uses)) {
  for (const version of ['express', 'express4']) {
    test(`${name} serves ${version} from the tarball`, () => {
      const token = sign(claims('POST', '/x?y=1', '{"a":1}'));
      fs.writeFileSync(path.join(project, name), `${head}
const express = require(${JSON.stringify(version)});
if (hauberk !== named || hauberk !== byDefault) throw new Error('two of one');
const app = express();
app.use(hauberk(${JSON.stringify({ keys: file, issuer, audience })}));
app.use(express.json());
app.post('/x', requireUser(), (req, res) => res.json([req.user.name, req.body.a, req.auth.bodyBound]));
const server = app.listen(0, '127.0.0.1', async () => {
  const send = (headers) => new Promise((resolve) => {
    const how = { method: 'POST', port: server.address().port, host: '127.0.0.1', path: '/x?y=1', headers: { host: ${JSON.stringify(host)}, 'content-type': 'application/json', 'content-length': 7, ...headers } };
    require('node:http').request(how, async (res) => { let text = ''; for await (const piece of res) text += piece; resolve({ status: res.statusCode, text }); }).end('{"a":1}');
  });
  const good = await send({ 'hauberk-identity': ${JSON.stringify(token)} });
  const bad = await send({});
  console.log(good.status, good.text, bad.status);
  server.closeAllConnections();
  server.close();
});
`);
      assert.equal(run('node', [name]).trim(), '200 ["ada",1,true] 401');
    });
  }
}

const typed = `
const options: Options = { keys: '/run/jwks.json', issuer: 'https://a.example', audience: 'b', onError: (err) => console.error(err.message) };
const gate = hauberk(options);
const app = express();
app.use(gate);
app.use(named({ keys: 'k', issuer: 'i', audience: 'a' }));
app.get('/', requireUser(), requireRole('a', 'b'), requireRole('a', { redirect: true }), requireScope('a:b'), requireFresh(300, { redirect: true }), (req, res) => {
  const user: User | undefined = req.user;
  const id: string | undefined = req.user?.id;
  const roles: readonly string[] = req.user?.roles ?? [];
  const bound: boolean | undefined = req.auth?.bodyBound;
  const nonce: string = res.locals.cspNonce;
  const signedIn: boolean = req.isAuthenticated();
  // @ts-expect-error a role is not pushed
  req.user?.roles.push('admin');
  res.json({ user, id, roles, bound, nonce, signedIn });
});
gate.verifyUpgrade({} as IncomingMessage).then(({ user, auth }) => [user?.id, auth.anonymous]);
// @ts-expect-error issuer has no default
hauberk({ keys: 'k', audience: 'a' });
// @ts-expect-error nor has it by the other name
named({ keys: 'k', audience: 'a' });
// @ts-expect-error a role has a name
requireRole();
// @ts-expect-error there is no such option
hauberk({ keys: 'k', issuer: 'i', audience: 'a', trust: true });
`;

test('the types hold in ES modules, in CommonJS and for bundlers', () => {
  const imports = `import express from 'express';
import type { IncomingMessage } from 'node:http';
import hauberk, { hauberk as named, requireUser, requireRole, requireScope, requireFresh } from '@hauberk/express';
import type { Options, User } from '@hauberk/express';
`;
  const required = `import express = require('express');
import type { IncomingMessage } from 'node:http';
import hauberk = require('@hauberk/express');
import { hauberk as named, requireUser, requireRole, requireScope, requireFresh } from '@hauberk/express';
type Options = hauberk.Options; type User = hauberk.User;
`;
  fs.writeFileSync(path.join(project, 'esm.mts'), imports + typed);
  fs.writeFileSync(path.join(project, 'cjs.cts'), required + typed);
  fs.writeFileSync(path.join(project, 'interop.cts'), imports + typed);
  const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const strict = ['--strict', '--noEmit', '--exactOptionalPropertyTypes', '--esModuleInterop', '--target', 'es2022', '--types', 'node'];
  const check = (...args) => {
    try {
      run(process.execPath, [tsc, ...strict, ...args]);
    } catch (err) {
      assert.fail(err.stdout);
    }
  };
  check('--module', 'node16', 'esm.mts', 'cjs.cts', 'interop.cts');
  check('--module', 'esnext', '--moduleResolution', 'bundler', '--skipLibCheck', 'esm.mts');
});
