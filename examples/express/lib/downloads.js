// Downloads: files with ETag and ranges (express.static in app.js), a text
// that is compressed on the way out, and bodies of any size.
import express from 'express';
import compression from 'compression';
import { page, html } from './page.js';

const almanac = Array.from({ length: 365 }, (_, day) => (
  `Day ${day + 1}: the sun rises, the tide turns, and the notebook stays open.\n`
)).join('');

export function downloads() {
  const router = express.Router();
  router.get('/downloads', (req, res) => res.send(page(req, 'Downloads', html`
<ul class="notes">
  <li><a href="/files/tides.csv">tides.csv</a><span>a file, with ranges</span></li>
  <li><a href="/almanac">almanac</a><span>gzip or brotli</span></li>
  <li><a href="/bytes/1048576">1 MiB of bytes</a><span>a stream</span></li>
</ul>`)));

  router.get('/almanac', compression({ threshold: 0 }), (req, res) => {
    res.type('text/plain').send(almanac);
  });

  // bytes counts upwards, so that a reader can tell a lost piece.
  router.get('/bytes/:count', (req, res) => {
    const count = Number(req.params.count);
    if (!Number.isInteger(count) || count < 0 || count > 64 * 1024 * 1024) {
      return res.status(400).json({ error: 'between 0 and 64 MiB' });
    }
    res.set({ 'Content-Type': 'application/octet-stream', 'Content-Length': count });
    return send(res, count);
  });
  return router;
}

// The block's length is a multiple of 251, so that the count goes on unbroken.
const block = Buffer.from(Array.from({ length: 251 * 256 }, (_, i) => i % 251));

function send(res, left) {
  while (left > 0) {
    const piece = block.subarray(0, Math.min(left, block.length));
    left -= piece.length;
    if (!res.write(piece)) {
      res.once('drain', () => send(res, left));
      return;
    }
  }
  res.end();
}
