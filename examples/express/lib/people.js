// Log-in and log-out. Two people may write; anybody may read.
import express from 'express';
import { scryptSync, timingSafeEqual, randomBytes } from 'node:crypto';
import { companion, gate } from './gate.js';
import { page, html } from './page.js';

const salt = randomBytes(16);
const hash = (password) => scryptSync(password, salt, 32);

const known = new Map([
  ['ada', hash('analytical engine')],
  ['grace', hash('nanoseconds of wire')],
]);
const nobody = hash(randomBytes(16).toString('hex'));

function matches(name, password) {
  const right = timingSafeEqual(hash(password), known.get(name) ?? nobody);
  return right && known.has(name);
}

// requireUser sends a page's visitor to the form and tells a script 401.
export const requireUser = gate ? companion.requireUser({ redirect: true }) : requireOwn;

function requireOwn(req, res, next) {
  if (req.session.user) return next();
  if (req.baseUrl === '/api') return res.status(401).json({ error: 'log in first' });
  return res.redirect(303, '/login');
}

const form = (req, problem) => page(req, 'Log in', html`
${problem ? html`<p class="problem" role="alert">${problem}</p>` : ''}
<form class="card" method="post" action="/login">
  <label>Name <input name="name" autocomplete="username" required></label>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
  <button>Log in</button>
</form>
<p class="hint">Try <code>ada</code> with <code>analytical engine</code>.</p>`);

export function people() {
  const router = express.Router();
  if (gate) {
    router.get('/login', (req, res) => res.redirect(303, '/.hauberk/sign-in?to=/notes'));
    return router;
  }
  router.get('/login', (req, res) => res.send(form(req)));
  router.post('/login', express.urlencoded({ extended: false }), (req, res) => {
    const { name, password } = req.body ?? {};
    if (typeof name !== 'string' || typeof password !== 'string' || !matches(name, password)) {
      return res.status(401).send(form(req, 'That name and password do not belong together.'));
    }
    req.session = { user: name };
    return res.redirect(303, '/notes');
  });
  router.post('/logout', (req, res) => {
    req.session = null;
    res.redirect(303, '/');
  });
  return router;
}
