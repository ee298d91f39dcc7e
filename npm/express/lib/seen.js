'use strict';

const { skew } = require('./assertion.js');
const { Refusal, forged } = require('./refusal.js');

// most is how many assertions are remembered for as long as they live, some
// 10 MB. It takes 1,500 signed-in writes a second to fill it.
const most = 100_000;

// safe are the methods whose requests the gate may send twice, and for which,
// without a body, it may use an assertion again.
const safe = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

// Seen remembers which assertions were used, so that a write that somebody
// overheard is not done again. When it is full it lets none in: one that is
// forgotten could be used again.
class Seen {
  #until = new Map();

  once(method, claims) {
    if (safe.has(method) && claims.body === 'none') return;
    const now = Date.now() / 1000;
    if (this.#until.has(claims.jti)) throw forged('the assertion was used before');
    this.#forget(now);
    if (this.#until.size >= most) throw new Refusal(503, 'EHAUBERKBUSY', `more than ${most} writes a minute: no room to remember their assertions`);
    this.#until.set(claims.jti, claims.exp + skew);
  }

  // forget drops what is over. Assertions come nearly in the order of their
  // ends, so it stops at the first that is not.
  #forget(now) {
    for (const [jti, end] of this.#until) {
      if (end > now) return;
      this.#until.delete(jti);
    }
  }
}

module.exports = { Seen };
