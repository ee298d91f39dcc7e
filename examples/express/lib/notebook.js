// The pages of the notebook: front page, notes, search.
import express from 'express';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { who } from './gate.js';
import * as notes from './notes.js';
import { requireUser } from './people.js';
import { page, html } from './page.js';

// The browser runs front.js only if it is this very file.
const front = readFileSync(new URL('../public/front.js', import.meta.url));
const digest = `sha384-${createHash('sha384').update(front).digest('base64')}`;

const list = (found) => (found.length === 0
  ? html`<p class="hint">Nothing here.</p>`
  : html`<ul class="notes">${found.map((n) => html`
  <li><a href="/notes/${n.id}">${n.title}</a><span>${n.author}</span></li>`)}
</ul>`);

const editor = html`
<form class="card" method="post" action="/notes">
  <label>Title <input name="title" maxlength="120" required></label>
  <label>Text <textarea name="text" rows="4" required></textarea></label>
  <button>Write it down</button>
</form>`;

const found = (req, words) => page(req, 'Search', html`
<form class="card row" method="get" action="/search" role="search">
  <label>Words <input type="search" name="q" value="${words}" autofocus></label>
  <button>Search</button>
</form>
${words ? html`<h2>Notes with “${words}”</h2>${list(notes.search(words))}` : ''}`);

export function notebook() {
  const router = express.Router();
  const read = express.urlencoded({ extended: false, limit: '64kb' });

  router.get('/', (req, res) => {
    const again = Boolean(req.session.visited);
    req.session.visited = true;
    res.send(page(req, again ? 'Welcome back' : 'Welcome', html`
<p class="lead">A shared notebook: read what others wrote, search it, log in to write.</p>
<p class="hint" id="greeting">Press / to search.</p>
<h2>Latest</h2>${list(notes.all().slice(-3).reverse())}
<script nonce="${res.locals.cspNonce}">
  document.getElementById('greeting').textContent += new Date().getHours() < 12 ? ' Good morning.' : ' Good day.';
</script>
<script src="/front.js" integrity="${digest}" nonce="${res.locals.cspNonce}" defer></script>`));
  });

  router.get('/search', (req, res) => {
    res.send(found(req, typeof req.query.q === 'string' ? req.query.q : ''));
  });

  router.get('/notes', (req, res) => res.send(page(req, 'Notes', html`
${list(notes.all())}
${who(req) ? editor : html`<p class="hint"><a href="/login">Log in</a> to write.</p>`}`)));

  router.post('/notes', requireUser, read, (req, res) => {
    const { title, text } = req.body ?? {};
    const problem = notes.problem(title, text);
    if (problem) {
      return res.status(422).send(page(req, 'Notes', html`
        <p class="problem" role="alert">${problem}.</p>${editor}`));
    }
    return res.redirect(303, `/notes/${notes.add(who(req), title, text).id}`);
  });

  router.get('/notes/:id', (req, res, next) => {
    const note = notes.get(req.params.id);
    if (!note) return next();
    const mine = who(req) === note.author;
    return res.send(page(req, note.title, html`
<p class="hint">${note.author}, ${note.written.slice(0, 10)}</p>
<p class="text">${note.text}</p>
${mine ? html`<form method="post" action="/notes/${note.id}/delete"><button class="danger">Delete</button></form>` : ''}
<p><a href="/notes">All notes</a></p>`));
  });

  router.post('/notes/:id/delete', requireUser, (req, res, next) => {
    const note = notes.get(req.params.id);
    if (!note || note.author !== who(req)) return next();
    notes.remove(note.id);
    return res.redirect(303, '/notes');
  });
  return router;
}
