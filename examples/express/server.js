// Starts the notebook on 127.0.0.1:3000, on another PORT, or on a unix socket
// when PORT is a path. It listens on loopback only: the way in is the proxy.
import { createServer } from 'node:http';
import { rmSync } from 'node:fs';
import { createApp } from './lib/app.js';
import { attachSocket } from './lib/socket.js';
import { limitExpected } from './lib/uploads.js';

const where = process.env.PORT ?? '3000';
const path = where.includes('/') ? where : '';

const server = createServer(createApp());
const sockets = attachSocket(server);
limitExpected(server);

if (path) {
  rmSync(path, { force: true });
  server.listen(path, announce);
} else {
  server.listen(Number(where), '127.0.0.1', announce);
}

function announce() {
  const at = server.address();
  const shown = typeof at === 'string' ? `unix:${at}` : `http://${at.address}:${at.port}`;
  console.log(`notebook listening on ${shown}`);
}

// A stop finishes what is under way: idle connections close at once, busy ones
// when their answer is out, streams without an end are cut after a second.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(() => process.exit(0));
    for (const socket of sockets.clients) socket.close(1001, 'going away');
    setTimeout(() => server.closeAllConnections(), 1000).unref();
  });
}
