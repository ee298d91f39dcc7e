'use strict';

const { createPublicKey } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { decode, own, base64url } = require('./json.js');

const largest = 64 * 1024;
const second = 1000;
const day = 24 * 60 * 60 * second;

// parse returns the keys of a JWKS by their ids. One of another kind is passed
// over, so that the gate may one day publish two kinds; a set with a private
// key is refused, since then somebody else signs too.
function parse(bytes) {
  const list = own(decode(bytes), 'keys');
  if (!Array.isArray(list) || list.length > 16) throw new Error('is no list of at most 16 keys');
  const keys = new Map();
  for (const one of list) {
    const said = (name) => own(Object(one), name);
    if (said('d') !== undefined) throw new Error('holds a private key');
    if (said('kty') !== 'EC' || said('crv') !== 'P-256' || said('alg') !== 'ES256' || said('use') !== 'sig') continue;
    const kid = said('kid');
    if (typeof kid !== 'string' || kid === '' || kid.length > 128 || keys.has(kid)) throw new Error('has a key without an id of its own');
    if (base64url(said('x'))?.length !== 32 || base64url(said('y'))?.length !== 32) throw new Error('has a key that is no point');
    keys.set(kid, createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: said('x'), y: said('y') }, format: 'jwk' }));
  }
  if (keys.size === 0) throw new Error('has no key for ES256');
  return keys;
}

// Kept is a set of keys and when it was last known to be right. Where its
// source fails it stays for a day, as long as the gate overlaps its keys.
class Kept {
  #keys = new Map();
  #good = -Infinity;

  put(keys) {
    this.#keys = keys;
    this.confirm();
  }

  confirm() { this.#good = Date.now(); }

  get(kid) { return Date.now() - this.#good > day ? undefined : this.#keys.get(kid); }

  get size() { return this.#keys.size; }
}

// FileKeys are those of a JWKS file. It looks at the file once a second at
// most and reads it when it has changed.
class FileKeys {
  #kept = new Kept();
  #file;
  #looked = Date.now();
  #mark;
  #failed;

  constructor(file, failed) {
    this.#file = path.resolve(file);
    this.#failed = failed;
    this.#read();
  }

  find(kid) {
    // A clock that was set back must not stop the looking.
    if (Math.abs(Date.now() - this.#looked) >= second) this.#look();
    return this.#kept.get(kid);
  }

  #look() {
    this.#looked = Date.now();
    try {
      this.#read();
    } catch (err) {
      this.#failed(err);
    }
  }

  #read() {
    try {
      const fd = fs.openSync(this.#file, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
      try {
        this.#readFrom(fd);
      } finally {
        fs.closeSync(fd);
      }
    } catch (err) {
      throw new Error(`hauberk: keys ${this.#file}: ${err.message}`, { cause: err });
    }
  }

  #readFrom(fd) {
    const info = fs.fstatSync(fd, { bigint: true });
    if (!info.isFile()) throw new Error('is no file');
    if (process.platform !== 'win32' && info.mode & 0o022n) throw new Error('can be written by others (chmod go-w)');
    if (info.size > largest) throw new Error('is too large');
    const mark = [info.dev, info.ino, info.size, info.mtimeNs, info.ctimeNs].join();
    if (mark !== this.#mark) {
      this.#kept.put(parse(fs.readFileSync(fd)));
      this.#mark = mark;
    } else {
      this.#kept.confirm();
    }
  }
}

// SocketKeys are those that the gate tells on its private unix socket. They
// are asked for again at a key that is not known, once in ten seconds at most,
// and each minute, so that one that was withdrawn goes.
class SocketKeys {
  #kept = new Kept();
  #socket;
  #asked = -Infinity;
  #asking;
  #failed;

  constructor(socket, failed) {
    if (!path.isAbsolute(socket)) throw new TypeError('hauberk: keys: write unix: and an absolute path');
    this.#socket = socket;
    this.#failed = failed;
    this.#ask();
  }

  async find(kid) {
    const age = Math.abs(Date.now() - this.#asked);
    const known = this.#kept.get(kid);
    if (known) {
      if (age >= 60 * second) this.#ask();
      return known;
    }
    if (age >= 10 * second || (this.#kept.size === 0 && age >= second)) this.#ask();
    await this.#asking;
    return this.#kept.get(kid);
  }

  #ask() {
    if (this.#asking) return;
    this.#asked = Date.now();
    this.#asking = fetch(this.#socket)
      .then((bytes) => this.#kept.put(parse(bytes)))
      .catch((err) => this.#failed(new Error(`hauberk: keys unix:${this.#socket}: ${err.message}`, { cause: err })))
      .finally(() => { this.#asking = undefined; });
  }
}

// fetch asks for the set, in two seconds and 64 KiB at most.
function fetch(socketPath) {
  return new Promise((resolve, reject) => {
    const req = http.get({ socketPath, path: '/jwks.json', agent: false, headers: { host: 'hauberk' }, signal: AbortSignal.timeout(2 * second) }, (res) => {
      const pieces = [];
      let size = 0;
      res.on('error', reject);
      res.on('end', () => (res.complete ? resolve(Buffer.concat(pieces)) : reject(new Error('broke off'))));
      if (res.statusCode !== 200) req.destroy(new Error(`answered ${res.statusCode}`));
      res.on('data', (piece) => {
        size += piece.length;
        if (size > largest) req.destroy(new Error('is too large'));
        else pieces.push(piece);
      });
    });
    req.on('error', reject);
  });
}

// open reads where keys are told. An address of the network is none: whoever
// answers there would say who everybody is.
function open(where, failed) {
  if (typeof where !== 'string' || where === '') throw new TypeError('hauberk: keys is the path of a JWKS file, or unix: and the path of a socket');
  if (where.startsWith('unix:')) return new SocketKeys(where.slice(5), failed);
  if (/^[A-Za-z][A-Za-z0-9+.-]+:/.test(where) && !path.isAbsolute(where)) throw new TypeError('hauberk: keys is no URL: write the path of a JWKS file, or unix: and the path of a socket');
  return new FileKeys(where, failed);
}

module.exports = { open };
