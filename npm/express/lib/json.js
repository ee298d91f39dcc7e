'use strict';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// Strings, and what opens, parts and closes. It runs over JSON that has been
// parsed, so a quotation mark always begins a whole string.
const tokens = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;

// decode parses bytes that must be one JSON object in which no name is said
// twice: two readers of such an object may believe two different values
// (RFC 8259, section 4; RFC 7515, section 4).
function decode(bytes) {
  const text = utf8.decode(bytes);
  const value = JSON.parse(text);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new Error('is not an object');
  const open = [];
  let last = '';
  for (const [token] of text.matchAll(tokens)) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':') {
      const names = open[open.length - 1];
      const name = JSON.parse(last);
      if (names.has(name)) throw new Error('says a name twice');
      names.add(name);
    }
    last = token;
  }
  return value;
}

// own reads what the object itself says: a prototype that something in the app
// has polluted must not add a claim.
const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);

// base64url decodes letters that are the one spelling of their bytes, undefined
// for any other: Buffer skips what it does not know and ignores stray bits.
function base64url(text) {
  if (typeof text !== 'string' || !/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

module.exports = { decode, own, base64url };
