// One layout for all pages, and a template tag that escapes what it is given.
// Scripts and styles are files, but for those of clock.js, so that a strict
// Content-Security-Policy fits.
import { gate, who } from './gate.js';

class Markup {
  constructor(text) { this.text = text; }
  toString() { return this.text; }
}

const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escape(value) {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(escape).join('');
  return String(value ?? '').replace(/[&<>"']/g, (c) => entities[c]);
}

export function html(strings, ...values) {
  return new Markup(strings.reduce((out, s, i) => out + escape(values[i - 1]) + s));
}

const links = [
  ['/notes', 'Notes'],
  ['/search', 'Search'],
  ['/upload', 'Upload'],
  ['/downloads', 'Downloads'],
  ['/live', 'Live'],
  ['/clock', 'Clock'],
];

export function page(req, title, body) {
  const user = who(req);
  const out = gate ? '/.hauberk/sign-out' : '/logout';
  const here = (path) => (req.path.startsWith(path) ? html` aria-current="page"` : '');
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Notebook</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header>
  <a class="brand" href="/">Notebook</a>
  <nav aria-label="Main">${links.map(([path, name]) => html`
    <a href="${path}"${here(path)}>${name}</a>`)}
  </nav>
  ${user
    ? html`<form class="who" method="post" action="${out}"><span>${user}</span> <button class="quiet">Log out</button></form>`
    : html`<a class="who" href="/login">Log in</a>`}
</header>
<main>
<h1>${title}</h1>
${body}
</main>
<footer>An Express example. It listens on loopback and leaves the guarding to Hauberk.</footer>
</body>
</html>
`.toString();
}
