// The companion of Hauberk in an Express app. It believes nothing but what the
// gate signed for this very request: who asks, and, where it is bound, the
// body. A request that did not come through the gate is answered 401.
'use strict';

const { split, claimsOf } = require('./lib/assertion.js');
const body = require('./lib/body.js');
const guards = require('./lib/guards.js');
const keys = require('./lib/keys.js');
const { handNonce } = require('./lib/nonce.js');
const { Refusal, misplaced } = require('./lib/refusal.js');
const { Seen } = require('./lib/seen.js');
const { factsOf, tell } = require('./lib/subject.js');

function settings(options) {
  const { keys: where, issuer, audience, onError, ...rest } = options ?? {};
  const [wrong] = Object.keys(rest);
  if (wrong !== undefined) throw new TypeError(`hauberk: there is no option ${wrong}`);
  for (const [name, value] of Object.entries({ issuer, audience })) {
    if (typeof value !== 'string' || value === '') throw new TypeError(`hauberk: ${name} is missing: it has no default`);
  }
  if (onError !== undefined && typeof onError !== 'function') throw new TypeError('hauberk: onError is no function');
  return { where, issuer, audience, onError };
}

// hauberk returns the middleware. It throws where an option is missing or the
// file of keys cannot be read.
function hauberk(options) {
  const { where, onError, ...expected } = settings(options);
  const report = (err, req) => {
    try {
      onError?.(err, req);
    } catch {
      // A log that fails must not let anybody in, nor end the program.
    }
  };
  const ring = keys.open(where, (err) => report(err));
  const seen = new Seen();

  async function verify(req) {
    const parts = split(req);
    const claims = claimsOf(req, parts, await ring.find(parts.header.kid), expected);
    const bound = await body.check(req, claims.body);
    if (!parts.header.anonymous) seen.once(req.method, claims);
    return factsOf(claims, parts.header.anonymous, bound);
  }

  function middleware(req, res, next) {
    checkPlace(req);
    verify(req).then((facts) => {
      tell(req, facts);
      handNonce(req, res);
      // Out of the promise: what the app throws is the app's.
      process.nextTick(next);
    }).catch((err) => {
      report(err, req);
      refuse(res, err);
    });
  }

  // verifyUpgrade verifies a request that asks for another protocol, which no
  // middleware sees.
  middleware.verifyUpgrade = async (req) => {
    const facts = await verify(req);
    tell(req, facts);
    return facts;
  };
  return middleware;
}

// checkPlace throws where something before has changed the request: what was
// signed could not be compared any more.
function checkPlace(req) {
  if (req.httpVersionMajor !== 1) throw misplaced('hauberk() stands behind a gate that speaks HTTP/1.1');
  if (req.originalUrl !== undefined && req.originalUrl !== req.url) throw misplaced('hauberk() must be mounted first and without a path: app.use(hauberk({…})) before whatever changes req.url');
  if (req.body !== undefined || req.readableDidRead || req.readableFlowing !== null) throw misplaced('hauberk() must be mounted before whatever reads the body, such as express.json()');
}

// refuse tells a client nothing of the reason.
function refuse(res, err) {
  if (res.headersSent) return res.destroy();
  const status = err instanceof Refusal ? err.status : 500;
  const title = { 400: 'Bad Request', 401: 'Unauthorized', 503: 'Service Unavailable' }[status] ?? 'Internal Server Error';
  res.statusCode = status;
  if (status === 401) res.setHeader('WWW-Authenticate', 'Hauberk');
  res.setHeader('Cache-Control', 'no-store');
  res.setHeader('Content-Type', 'application/problem+json');
  return res.end(JSON.stringify({ type: 'about:blank', title, status }));
}

module.exports = Object.assign(hauberk, { hauberk, default: hauberk, ...guards });
