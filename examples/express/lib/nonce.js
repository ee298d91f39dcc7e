// Hauberk hands each page a nonce in Hauberk-CSP-Nonce. Reading cspNonce tells
// it, by the same header on the answer, that the page uses it: only then does
// the policy of that answer name the nonce. Without Hauberk it is empty.
export function nonce(req, res, next) {
  const value = req.get('Hauberk-CSP-Nonce');
  Object.defineProperty(res.locals, 'cspNonce', {
    get() {
      if (value) res.set('Hauberk-CSP-Nonce', value);
      return value ?? '';
    },
  });
  next();
}
