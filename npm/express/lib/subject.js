'use strict';

const { own } = require('./json.js');
const { misplaced } = require('./refusal.js');

// known holds what was verified of each request. The guards read it here: other
// middleware, such as passport, may write req.user.
const known = new WeakMap();

function freeze(value) {
  if (value !== null && typeof value === 'object') {
    Object.values(value).forEach(freeze);
    Object.freeze(value);
  }
  return value;
}

// factsOf returns what an app is told: who asks, and what was signed of it.
function factsOf(claims, anonymous, bodyBound) {
  const payload = freeze(claims);
  const said = (name) => own(payload, name);
  const auth = Object.freeze({ payload, anonymous, bodyBound });
  if (anonymous) return { auth, user: undefined };
  const user = Object.freeze({
    id: said('sub'), name: said('name'), email: said('email'), tenant: said('tenant'),
    roles: said('roles'), scopes: Object.freeze((said('scope') ?? '').split(' ').filter(Boolean)),
    amr: said('amr'), authTime: said('auth_time'), sessionId: said('sid'),
  });
  return { auth, user };
}

function tell(req, facts) {
  known.set(req, facts);
  req.user = facts.user;
  req.auth = facts.auth;
  req.isAuthenticated = () => facts.user !== undefined;
}

// userOf returns who was verified, undefined for nobody.
function userOf(req) {
  const facts = known.get(req);
  if (!facts) throw misplaced('hauberk() did not see this request: mount it before the guards');
  return facts.user;
}

module.exports = { factsOf, tell, userOf };
