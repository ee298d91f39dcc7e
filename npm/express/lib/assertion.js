'use strict';

const { createHash, timingSafeEqual, verify: verifySignature } = require('node:crypto');
const { decode, own, base64url } = require('./json.js');
const { forged } = require('./refusal.js');

const field = 'hauberk-identity';
const longest = 8 * 1024;
const life = 60;
const skew = 5;

// lines returns every value that came under a name. Node joins the lines of a
// field that it does not know, so two of them look like one in req.headers.
function lines(req, name) {
  const found = [];
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    if (req.rawHeaders[i].toLowerCase() === name) found.push(req.rawHeaders[i + 1]);
  }
  return found;
}

// split takes the header apart without believing any of it yet.
function split(req) {
  const found = lines(req, field);
  if (found.length !== 1) throw forged(found.length === 0 ? 'no identity header: the request did not come through the gate' : 'more than one identity header');
  const token = found[0];
  if (token.length > longest) throw forged('the identity header is too long');
  const parts = token.split('.');
  if (parts.length !== 3) throw forged('the identity header is no compact JWS');
  const [head, claims, signature] = parts.map(base64url);
  if (!head || !claims || !signature) throw forged('the identity header is not canonical base64url');
  const header = headerOf(object(head, 'header'));
  if (signature.length !== 64) throw forged('the signature is not 64 bytes');
  return { header, claims, signature, signed: Buffer.from(`${parts[0]}.${parts[1]}`, 'latin1') };
}

function object(bytes, what) {
  try {
    return decode(bytes);
  } catch {
    throw forged(`the ${what} of the assertion is no plain JSON object`);
  }
}

const types = new Map([['hauberk-id+jwt', false], ['hauberk-anon+jwt', true]]);

// headerOf takes the three names that the gate writes. Any other, such as jku,
// jwk, x5u or crit, asks to be believed in ways that nobody here may ask for
// (RFC 8725, section 3.10).
function headerOf(h) {
  if (Object.keys(h).some((name) => name !== 'alg' && name !== 'typ' && name !== 'kid')) throw forged('the header of the assertion has a name that the gate does not write');
  if (own(h, 'alg') !== 'ES256') throw forged('the assertion is not signed by ES256');
  const typ = own(h, 'typ');
  const kid = own(h, 'kid');
  if (typeof typ !== 'string' || !types.has(typ)) throw forged('the assertion is of another type');
  if (typeof kid !== 'string' || kid === '' || kid.length > 128) throw forged('the assertion names no key');
  return { kid, anonymous: types.get(typ) };
}

// claimsOf checks the signature, then everything that was signed. It returns
// the claims.
function claimsOf(req, parts, key, expected) {
  if (!key) throw forged('the assertion is signed by a key that the gate does not publish');
  const right = verifySignature('sha256', parts.signed, { key, dsaEncoding: 'ieee-p1363' }, parts.signature);
  if (!right) throw forged('the signature is wrong');
  const claims = object(parts.claims, 'payload');
  const said = (name) => own(claims, name);
  if (said('iss') !== expected.issuer) throw forged('the assertion is of another issuer');
  if (said('aud') !== expected.audience) throw forged('the assertion is for another audience');
  checkTime(said, Math.floor(Date.now() / 1000));
  checkTarget(said, req);
  if (!/^[A-Za-z0-9_-]{22,64}$/.test(text(said('jti')) ?? '')) throw forged('the assertion has no jti');
  if (text(said('body')) === undefined) throw forged('the assertion does not say what body it is for');
  if (parts.header.anonymous) checkNobody(said);
  else checkSomebody(said);
  return claims;
}

function checkTime(said, now) {
  const iat = said('iat');
  const exp = said('exp');
  if (!Number.isSafeInteger(iat) || !Number.isSafeInteger(exp)) throw forged('the assertion has no times');
  if (exp <= iat || exp - iat > life) throw forged('the assertion lives longer than a minute');
  if (iat > now + skew) throw forged('the assertion is of the future: compare the clocks');
  if (exp <= now - skew) throw forged('the assertion is over');
  if (said('nbf') !== undefined) throw forged('the assertion has a time that the gate does not write');
}

// checkTarget holds that the assertion was made for this very request. It says
// the target by htu or, of a long one, its SHA-256 by htu_s256: one of both.
// Node reads the target as Latin-1, one letter a byte; the claim is in UTF-8.
function checkTarget(said, req) {
  // Every Host that came: Node shows the first of two.
  const hosts = lines(req, 'host');
  if (hosts.length !== 1 || said('host') !== hosts[0].toLowerCase()) throw forged('the assertion is for another host');
  if (said('htm') !== req.method) throw forged('the assertion is for another method');
  if (!/^[\0-\xff]*$/.test(req.url)) throw forged('the target is no text of bytes');
  const wire = Buffer.from(req.url, 'latin1');
  const [htu, sum] = [said('htu'), said('htu_s256')];
  if ((htu === undefined) === (sum === undefined)) throw forged('the assertion says its target twice or not at all');
  if (sum === undefined ? !sameText(htu, wire) : !sameSum(sum, wire)) throw forged('the assertion is for another path or query');
}

const sameText = (htu, wire) => typeof htu === 'string' && Buffer.from(htu, 'utf8').equals(wire);

function sameSum(sum, wire) {
  const digest = typeof sum === 'string' ? base64url(sum) : undefined;
  return digest?.length === 32 && timingSafeEqual(createHash('sha256').update(wire).digest(), digest);
}

const text = (v) => (typeof v === 'string' ? v : undefined);
const words = (v) => Array.isArray(v) && v.every((one) => typeof one === 'string');
const about = ['name', 'email', 'tenant', 'scope', 'sid'];

function checkSomebody(said) {
  const sub = text(said('sub'));
  if (!sub) throw forged('the assertion names no subject');
  if (!words(said('roles')) || !words(said('amr'))) throw forged('roles or amr is no list of words');
  if (!Number.isSafeInteger(said('auth_time'))) throw forged('the assertion does not say when its subject signed in');
  if (about.some((name) => said(name) !== undefined && text(said(name)) === undefined)) throw forged('the assertion says something about its subject that is no text');
}

function checkNobody(said) {
  if (['sub', 'roles', 'amr', 'auth_time', ...about].some((name) => said(name) !== undefined)) throw forged('an anonymous assertion speaks of a subject');
}

module.exports = { split, claimsOf, lines, skew };
