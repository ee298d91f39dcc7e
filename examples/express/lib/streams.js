// Streams in both directions: server-sent events, an echo that answers while
// it still reads, and trailers after a body.
import express from 'express';
import { createHash } from 'node:crypto';
import { page, html } from './page.js';

let open = 0;

export function streams() {
  const router = express.Router();

  router.get('/live', (req, res) => res.send(page(req, 'Live', html`
<div class="columns">
  <section class="card"><h2>Server-sent events</h2><ol id="ticks" aria-live="polite"></ol></section>
  <section class="card"><h2>WebSocket echo</h2>
    <form id="say"><label>Say <input id="words" value="hello"></label><button>Send</button></form>
    <ol id="echoes" aria-live="polite"></ol>
  </section>
</div>
<script src="/live.js"></script>`)));

  // events counts on from the last event that the browser saw.
  router.get('/events', (req, res) => {
    let n = Number(req.get('Last-Event-ID') ?? 0);
    res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    res.flushHeaders();
    open += 1;
    const tick = () => {
      n += 1;
      res.write(`id: ${n}\nevent: tick\ndata: {"n":${n}}\n\n`);
    };
    tick();
    const timer = setInterval(tick, 250);
    res.on('close', () => {
      open -= 1;
      clearInterval(timer);
    });
  });
  router.get('/events/open', (req, res) => res.json({ open }));

  router.post('/echo', (req, res) => {
    res.set('Content-Type', req.get('Content-Type') ?? 'application/octet-stream');
    res.flushHeaders();
    req.pipe(res);
  });

  router.post('/checksum', async (req, res) => {
    res.set({ 'Content-Type': 'text/plain', Trailer: 'X-Checksum, X-Count' });
    const sum = createHash('sha256');
    let count = 0;
    for await (const piece of req) {
      sum.update(piece);
      count += piece.length;
      res.write(`read ${count}\n`);
    }
    res.addTrailers({ 'X-Checksum': sum.digest('hex'), 'X-Count': String(count) });
    if (req.trailers['x-mark']) res.write(`mark ${req.trailers['x-mark']}\n`);
    res.end();
  });
  return router;
}
