// The JSON API. Every answer is JSON, the errors too.
import express from 'express';
import { who } from './gate.js';
import * as notes from './notes.js';
import { requireUser } from './people.js';

export function api() {
  const router = express.Router();
  router.use(express.json({ limit: '64kb' }));

  router.get('/notes', (req, res) => res.json(notes.all()));
  router.get('/notes/:id', withNote, (req, res) => res.json(req.note));
  router.post('/notes', requireUser, withFields, (req, res) => {
    const note = notes.add(who(req), req.body.title, req.body.text);
    res.status(201).location(`/api/notes/${note.id}`).json(note);
  });
  router.put('/notes/:id', requireUser, withNote, withFields, (req, res) => {
    req.note.title = req.body.title;
    req.note.text = req.body.text;
    res.json(req.note);
  });
  router.delete('/notes/:id', requireUser, withNote, (req, res) => {
    notes.remove(req.note.id);
    res.status(204).end();
  });

  // What the app believes about a request: how it sees the proxy in front.
  router.all('/request', (req, res) => res.json({
    method: req.method,
    url: req.originalUrl,
    ip: req.ip,
    protocol: req.protocol,
    host: req.host,
    httpVersion: req.httpVersion,
    headers: req.headers,
    body: req.body,
  }));

  router.use((req, res) => res.status(404).json({ error: 'no such thing' }));
  router.use((err, req, res, next) => {
    const status = err.status ?? 500;
    if (status >= 500) return next(err);
    return res.status(status).json({ error: err.type ?? 'bad request' });
  });
  return router;
}

function withNote(req, res, next) {
  req.note = notes.get(req.params.id);
  if (!req.note) return res.status(404).json({ error: 'no such note' });
  return next();
}

function withFields(req, res, next) {
  if (!req.is('application/json')) {
    return res.status(415).json({ error: 'send application/json' });
  }
  const problem = notes.problem(req.body?.title, req.body?.text);
  if (problem) return res.status(422).json({ error: problem });
  return next();
}
