// The application: middleware in the usual order, then one router a concern.
import express from 'express';
import cookieSession from 'cookie-session';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { api } from './api.js';
import { clock } from './clock.js';
import { downloads } from './downloads.js';
import { gate } from './gate.js';
import { nonce } from './nonce.js';
import { notebook } from './notebook.js';
import { office } from './office.js';
import { people } from './people.js';
import { streams } from './streams.js';
import { limit, uploads } from './uploads.js';
import { page, html } from './page.js';

const assets = fileURLToPath(new URL('../public', import.meta.url));

export function createApp() {
  const app = express();

  // The proxy on this machine may say which client asked, and that it asked
  // over https. Without this line req.ip is the proxy and secure cookies fail.
  // On a unix socket a peer has no address, so there it is trusted as such.
  const onSocket = (process.env.PORT ?? '').includes('/');
  if (process.env.TRUST_PROXY !== 'no') app.set('trust proxy', onSocket ? 1 : 'loopback');

  // The gate's word comes first: it is for the request as it came in.
  if (gate) app.use(gate);
  app.use(limit);
  app.use(express.static(assets, { index: false }));
  app.use(cookieSession({
    name: 'session',
    keys: [process.env.SESSION_KEY ?? randomBytes(32).toString('hex')],
    maxAge: 8 * 60 * 60 * 1000,
  }));

  app.use(gate ? office() : nonce);
  app.use(people());
  app.use(notebook());
  app.use(uploads());
  app.use(downloads());
  app.use(streams());
  app.use(clock());
  app.use('/api', api());

  app.get('/crash', () => {
    throw new Error('the notebook dropped page 42 of /srv/notebook/pages.db');
  });
  app.get('/crash/later', async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    throw new TypeError("Cannot read properties of undefined (reading 'title')");
  });
  app.get('/go', (req, res) => res.redirect('/notes'));
  app.get('/go/absolute', (req, res) => {
    res.redirect(`${req.protocol}://${req.get('host')}/notes`);
  });
  app.get('/hinted', (req, res) => {
    res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    res.send(page(req, 'Early hints', html`
      <p>The style sheet of this page was announced with <code>103 Early Hints</code>
      before the page itself was ready.</p>`));
  });

  app.use((req, res) => {
    res.status(404).send(page(req, 'No such page', html`
      <p>Nothing is kept under <code>${req.path}</code>.</p>
      <p><a href="/">Back to the notebook</a></p>`));
  });
  return app;
}
