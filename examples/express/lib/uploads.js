// File upload with limits: multer has none of its own. Files stay in memory
// and leave as attachments of no particular type.
import express from 'express';
import multer from 'multer';
import { createHash } from 'node:crypto';
import { requireUser } from './people.js';
import { page, html } from './page.js';

const most = 1024 * 1024;
const kept = new Map();

const receive = multer({
  storage: multer.memoryStorage(),
  limits: { fileSize: most, files: 4, fields: 8, parts: 12, fieldSize: 4096 },
}).array('file', 4);

const form = html`
<form class="card" method="post" action="/upload" enctype="multipart/form-data">
  <label>Remark <input name="remark" maxlength="200"></label>
  <label>Files, 1 MiB each <input type="file" name="file" multiple required></label>
  <button>Upload</button>
</form>`;

const shelf = () => (kept.size === 0 ? '' : html`
<table><thead><tr><th>File</th><th>Bytes</th><th>SHA-256</th><th>Remark</th></tr></thead><tbody>
${[...kept.values()].map((f) => html`<tr><td><a href="/uploads/${f.sha256}">${f.name}</a></td>
<td>${f.data.length}</td><td><code>${f.sha256.slice(0, 16)}…</code></td><td>${f.remark}</td></tr>`)}
</tbody></table>`);

export function uploads() {
  const router = express.Router();
  router.get('/upload', requireUser, (req, res) => {
    res.send(page(req, 'Upload', html`${form}${shelf()}`));
  });
  router.post('/upload', requireUser, receive, (req, res) => {
    for (const file of req.files) keep(file, req.body.remark);
    res.redirect(303, '/upload');
  });
  router.get('/uploads/:sha256', requireUser, (req, res, next) => {
    const file = kept.get(req.params.sha256);
    if (!file) return next();
    return res.attachment(file.name).type('application/octet-stream').send(file.data);
  });
  router.use((err, req, res, next) => {
    if (!(err instanceof multer.MulterError)) return next(err);
    const status = err.code.startsWith('LIMIT_') ? 413 : 400;
    return res.status(status).send(page(req, 'Upload', html`
      <p class="problem" role="alert">${err.message}.</p>${form}`));
  });
  return router;
}

function keep(file, remark) {
  const sha256 = createHash('sha256').update(file.buffer).digest('hex');
  kept.set(sha256, { name: file.originalname, sha256, data: file.buffer, remark });
  if (kept.size > 32) kept.delete(kept.keys().next().value);
}

const tooLarge = (req) => Number(req.headers['content-length'] ?? 0) > 8 * most;

function refuse(res) {
  res.writeHead(413, { 'Content-Type': 'application/json', Connection: 'close' });
  res.end('{"error":"too large"}');
}

// limit answers before it reads a body that is too large anyway.
export function limit(req, res, next) {
  return tooLarge(req) ? refuse(res) : next();
}

// limitExpected does the same for a client that asks before it sends
// (Expect: 100-continue): such a body never starts.
export function limitExpected(server) {
  server.on('checkContinue', (req, res) => {
    if (tooLarge(req)) return refuse(res);
    res.writeContinue();
    return server.emit('request', req, res);
  });
}
