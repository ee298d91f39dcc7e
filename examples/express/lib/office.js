// A page for one role. The gate may ask for the role too (access: - on:
// /office, allow: role:admin); who reaches it says the narrower of both.
import express from 'express';
import { companion } from './gate.js';
import * as notes from './notes.js';
import { page, html } from './page.js';

export function office() {
  const router = express.Router();
  router.get('/office', companion.requireRole('admin', { redirect: true }), (req, res) => res.send(page(req, 'Office', html`
<p class="lead">${req.user.name} keeps ${notes.all().length} notes.</p>
<table><tbody>
<tr><th>Id</th><td><code>${req.user.id}</code></td></tr>
<tr><th>Roles</th><td>${req.user.roles.join(', ')}</td></tr>
<tr><th>Proved by</th><td>${req.user.amr.join(', ')}</td></tr>
</tbody></table>
<script nonce="${res.locals.cspNonce}">document.title += ' (for you alone)';</script>`)));
  return router;
}
