// Tokens that jose of npm makes, and what jose says about them:
// node tokens.mjs ISSUER N
//
// It prints {jwks, cases: [{name, token, taken}]}. The first cases are well
// and ill formed on purpose; N more are the well formed ones with a change
// that chance picks.
import { randomBytes, randomInt } from 'node:crypto';
import * as jose from 'jose';

const issuer = process.argv[2];
const audience = 'shop';
const algorithms = ['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'];
const pairs = {};
for (const alg of [...algorithms, 'ES512', 'RS512']) {
  pairs[alg] = await jose.generateKeyPair(alg, { extractable: true });
}
const jwks = { keys: [] };
for (const [alg, { publicKey }] of Object.entries(pairs)) {
  jwks.keys.push({ ...await jose.exportJWK(publicKey), alg, kid: alg, use: 'sig' });
}
const known = jose.createLocalJWKSet(jwks);
const options = { issuer, audience, algorithms, clockTolerance: 60, requiredClaims: ['sub', 'exp'] };

async function taken(token) {
  try {
    const { protectedHeader } = await jose.jwtVerify(token, known, options);
    return /^(application\/)?(at\+)?jwt$/i.test(protectedHeader.typ ?? '');
  } catch {
    return false;
  }
}

const cases = [];
const add = async (name, token) => cases.push({ name, token, taken: await taken(token) });
const claims = { sub: 'ann', scope: 'read', 'ü': '☃' };
const jwt = (alg, header = {}) => new jose.SignJWT(claims).setProtectedHeader({ alg, kid: alg, typ: 'at+jwt', ...header })
  .setIssuer(issuer).setAudience(audience).setIssuedAt().setExpirationTime('5m');

for (const alg of algorithms) {
  await add(`${alg}`, await jwt(alg).sign(pairs[alg].privateKey));
  await add(`${alg}, typ JWT`, await jwt(alg, { typ: 'JWT' }).sign(pairs[alg].privateKey));
}
const good = cases.map((one) => one.token);
await add('ES512, not allowed', await jwt('ES512').sign(pairs.ES512.privateKey));
await add('RS512, not allowed', await jwt('RS512').sign(pairs.RS512.privateKey));
await add('HS256', await jwt('HS256', { kid: 'RS256' }).sign(new TextEncoder().encode(await jose.exportSPKI(pairs.RS256.publicKey))));
await add('unsecured', new jose.UnsecuredJWT(claims).setIssuer(issuer).setAudience(audience).setExpirationTime('5m').encode());
await add('expired', await jwt('ES256').setExpirationTime('2m ago').sign(pairs.ES256.privateKey));
await add('not yet', await jwt('ES256').setNotBefore('5m').sign(pairs.ES256.privateKey));
await add('another issuer', await jwt('ES256').setIssuer('https://evil.example').sign(pairs.ES256.privateKey));
await add('another audience', await jwt('ES256').setAudience('bank').sign(pairs.ES256.privateKey));
await add('typ of a logout', await jwt('ES256', { typ: 'logout+jwt' }).sign(pairs.ES256.privateKey));
await add('encrypted', await new jose.EncryptJWT(claims).setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM' }).setIssuer(issuer)
  .encrypt((await jose.generateKeyPair('ECDH-ES')).publicKey));
await add('signed, then encrypted', await new jose.CompactEncrypt(new TextEncoder().encode(good[0]))
  .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', cty: 'JWT' }).encrypt((await jose.generateKeyPair('ECDH-ES')).publicKey));
const payload = Buffer.from(good[0].split('.')[1], 'base64url');
const plain = await new jose.FlattenedSign(Buffer.from('x'))
  .setProtectedHeader({ alg: 'ES256', kid: 'ES256', typ: 'JWT', b64: false, crit: ['b64'] }).sign(pairs.ES256.privateKey);
await add('b64 false', `${plain.protected}.x.${plain.signature}`);
await add('flattened', JSON.stringify(await new jose.FlattenedSign(payload).setProtectedHeader({ alg: 'ES256', kid: 'ES256', typ: 'JWT' }).sign(pairs.ES256.privateKey)));
await add('general', JSON.stringify(await new jose.GeneralSign(payload).addSignature(pairs.ES256.privateKey).setProtectedHeader({ alg: 'ES256' }).sign()));

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const any = (list) => list[randomInt(list.length)];
const changes = [
  (t, i) => t.slice(0, i) + t.slice(i + 1),
  (t, i) => t.slice(0, i) + any(letters) + t.slice(i + 1),
  (t, i) => t.slice(0, i) + any('=\n\r .+/\t') + t.slice(i),
  (t) => t.slice(0, -1) + any(letters),
  (t) => { const p = t.split('.'); p[randomInt(3)] = any(good).split('.')[randomInt(3)]; return p.join('.'); },
  (t) => { const p = t.split('.'); p[2] = randomBytes(64).toString('base64url'); return p.join('.'); },
  (t) => { const p = t.split('.'); return [p[0], p[1], p[2].replace(/.$/, any(letters))].join('.'); },
];
for (let n = Number(process.argv[3]); n > 0; n--) {
  const token = any(good);
  await add('changed', any(changes)(token, randomInt(token.length)));
}
process.stdout.write(JSON.stringify({ jwks, cases }));
