// The companion of Hauberk, where the environment names the gate's keys:
// people then sign in at the gate, and what did not come through it is
// refused. Without them the notebook has people of its own (people.js).
const { HAUBERK_KEYS: keys, HAUBERK_ISSUER: issuer, HAUBERK_AUDIENCE: audience } = process.env;

export const companion = keys && await import('@hauberk/express');

export const gate = companion?.hauberk({
  keys, issuer, audience, onError: (err) => console.warn(`${err.code ?? 'keys'}: ${err.message}`),
});

// who is the name that notes are signed with.
export const who = (req) => (gate ? (req.isAuthenticated() ? req.user.name : undefined) : req.session?.user);
