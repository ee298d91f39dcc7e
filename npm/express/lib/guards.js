'use strict';

const { Refusal } = require('./refusal.js');
const { userOf } = require('./subject.js');

// guard makes a middleware of a test that returns a Refusal or nothing. Where
// options.redirect is set, a visitor that a page of the gate can help is led
// to it and comes back.
function guard(options, help, test) {
  const { redirect = false, ...rest } = options ?? {};
  const [wrong] = Object.keys(rest);
  if (wrong !== undefined || typeof redirect !== 'boolean') throw new TypeError(`hauberk: a guard takes {redirect: true}, not ${wrong ?? 'another redirect'}`);
  return function hauberkGuard(req, res, next) {
    const user = userOf(req);
    const refusal = user ? test(user) : new Refusal(401, 'EHAUBERKSIGNIN', 'nobody is signed in');
    if (!refusal) return next();
    const page = user ? help : '/.hauberk/sign-in';
    if (!redirect || !page || !visits(req)) return next(refusal);
    res.statusCode = 303;
    res.setHeader('Cache-Control', 'no-store');
    res.setHeader('Location', `${page}?to=${encodeURIComponent(back(req))}`);
    return res.end();
  };
}

// visits says that a person looks at a page, at the top of a window: a script,
// a frame or a form would not come back to where it was.
function visits(req) {
  if (req.method !== 'GET') return false;
  const mode = req.headers['sec-fetch-mode'];
  if (mode !== undefined) return mode === 'navigate' && req.headers['sec-fetch-dest'] === 'document';
  return /\btext\/html\b/i.test(req.headers.accept ?? '');
}

// back is where to return to: a path of this site. A browser reads //host and
// /\host as another site.
function back(req) {
  const to = req.originalUrl ?? req.url;
  return /^\/(?![/\\])/.test(to) ? to : '/';
}

function named(words, what) {
  const options = typeof words.at(-1) === 'object' ? words.at(-1) : undefined;
  const names = options === undefined ? words : words.slice(0, -1);
  if (names.length === 0 || names.some((one) => typeof one !== 'string' || one === '')) throw new TypeError(`hauberk: ${what} needs a name`);
  return [names, options];
}

// requireUser lets in who is signed in.
const requireUser = (options) => guard(options, '', () => undefined);

// requireRole lets in who has one of the roles.
function requireRole(...words) {
  const [roles, options] = named(words, 'requireRole');
  return guard(options, '', (user) => (
    roles.some((one) => user.roles.includes(one)) ? undefined : new Refusal(403, 'EHAUBERKROLE', `needs role ${roles.join(' or ')}`)));
}

// requireScope lets in whose token has all of the scopes.
function requireScope(...words) {
  const [scopes, options] = named(words, 'requireScope');
  return guard(options, '', (user) => (
    scopes.every((one) => user.scopes.includes(one)) ? undefined : new Refusal(403, 'EHAUBERKSCOPE', `needs scope ${scopes.join(' and ')}`)));
}

// requireFresh lets in who proved who they are in the last seconds.
function requireFresh(seconds, options) {
  if (!Number.isFinite(seconds) || seconds <= 0) throw new TypeError('hauberk: requireFresh needs a number of seconds');
  return guard(options, '/.hauberk/confirm', (user) => (
    Date.now() / 1000 - user.authTime <= seconds ? undefined : new Refusal(401, 'EHAUBERKFRESH', `needs a sign-in of the last ${seconds} seconds`)));
}

module.exports = { requireUser, requireRole, requireScope, requireFresh };
