// Pages with inline scripts. The clock's are the same in every answer, so their
// hashes can be learned; the page of one visit writes a value into its script,
// which can only run by nonce.
import express from 'express';
import { page, html } from './page.js';

export function clock() {
  const router = express.Router();

  router.get('/clock', (req, res) => {
    const nonce = res.locals.cspNonce;
    res.send(page(req, 'Clock', html`
<p class="lead">It is <time id="now">not known yet</time>.</p>
<p>Words on this page: <output id="words">?</output></p>
<script type="application/json" id="zones">["UTC","Europe/Zurich"]</script>
<script nonce="${nonce}">
  const zones = JSON.parse(document.getElementById('zones').textContent);
  document.getElementById('now').textContent =
    new Intl.DateTimeFormat('en', { timeStyle: 'short', timeZone: zones[0] }).format();
</script>
<script type="module" nonce="${nonce}">document.getElementById('words').value = document.body.innerText.split(/\\s+/).length;</script>
<p><a href="/clock/visit">This visit</a></p>`));
  });

  router.get('/clock/visit', (req, res) => {
    res.send(page(req, 'This visit', html`
<p>You came at <time id="came"></time>.</p>
<script nonce="${res.locals.cspNonce}">document.getElementById('came').textContent = new Date(${Date.now()}).toISOString();</script>
<p><button onclick="location.reload()">Again</button></p>`));
  });
  return router;
}
