'use strict';

const { lines } = require('./assertion.js');

const field = 'Hauberk-Csp-Nonce';

// handNonce sets res.locals.cspNonce, '' where the gate hands none. Reading it
// tells the gate, by the same field on the answer, that the page uses it; only
// then does the policy of that answer name it. A template is given all locals,
// so it gets one that tells when it is written, not when it is given.
function handNonce(req, res) {
  const found = lines(req, field.toLowerCase());
  const value = found.length === 1 && /^[A-Za-z0-9_-]{24}$/.test(found[0]) ? found[0] : '';
  res.locals ??= Object.create(null);
  if (!value) {
    res.locals.cspNonce = '';
    return;
  }
  const use = () => {
    if (!res.headersSent) res.setHeader(field, value);
    return value;
  };
  const written = Object.freeze({ toString: use, toJSON: use });
  let said = written;
  Object.defineProperty(res.locals, 'cspNonce', {
    get: () => (said === written ? use() : said),
    set: (own) => { said = own; }, // an app that makes nonces of its own goes on doing so
    configurable: true,
  });
  const { render } = res;
  if (typeof render !== 'function') return;
  res.render = function renderWithNonce(view, options, done) {
    if (typeof options === 'function') return render.call(this, view, { cspNonce: said }, options);
    return render.call(this, view, { cspNonce: said, ...options }, done);
  };
}

module.exports = { handNonce };
