'use strict';

const { createHash, timingSafeEqual } = require('node:crypto');
const { base64url } = require('./json.js');
const { Refusal, forged } = require('./refusal.js');

const largest = 1024 * 1024;

// check holds the body to what the assertion says of it, and says whether it
// is bound. A bound body is read, compared, and put back.
async function check(req, said) {
  const length = lengthOf(req);
  const chunked = req.headers['transfer-encoding'] !== undefined;
  if (said === 'unbound') return false;
  if (said === 'none') {
    if (chunked || length) throw forged('the request has a body and its assertion has none');
    return true;
  }
  const digest = said.startsWith('sha-256:') ? base64url(said.slice(8)) : undefined;
  if (!digest || digest.length !== 32) throw forged('the assertion binds the body in a way that is not known');
  if (chunked || length === undefined) throw forged('the body has no length and its assertion has a digest');
  if (length > largest) throw forged('the body is too long for a digest');
  const bytes = length === 0 ? Buffer.alloc(0) : await take(req, length);
  if (!timingSafeEqual(createHash('sha256').update(bytes).digest(), digest)) throw forged('the body is not the one of the assertion');
  return true;
}

function lengthOf(req) {
  const written = req.headers['content-length'];
  if (written === undefined) return undefined;
  if (!/^(0|[1-9][0-9]{0,15})$/.test(written)) throw forged('the length of the body is no plain number');
  return Number(written);
}

// take reads exactly length bytes and puts them back before the stream ends,
// so that whoever reads next finds it untouched. It reads by 'readable': when
// that listener goes, the stream is again one that nobody has begun to read,
// and flows as soon as somebody listens to 'data'. A stream that was paused
// would wait for resume() for ever.
function take(req, length) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    let left = length;
    const settle = (end) => {
      req.off('readable', read).off('end', short).off('close', short).off('error', short);
      end();
    };
    const short = () => settle(() => reject(new Refusal(400, 'EHAUBERKBODY', 'the body ended before its length')));
    function read() {
      for (let piece; left > 0 && (piece = req.read()) !== null;) {
        pieces.push(piece);
        left -= piece.length;
      }
      if (left > 0) return;
      const all = Buffer.concat(pieces);
      settle(() => {
        req.unshift(all);
        // The stream forgets the listener one tick after it went.
        process.nextTick(resolve, all);
      });
    }
    req.on('readable', read).on('end', short).on('close', short).on('error', short);
    if (req.destroyed) short();
  });
}

module.exports = { check };
