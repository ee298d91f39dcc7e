// The WebSocket: it says back what it hears, text as text and bytes as bytes.
import { WebSocketServer } from 'ws';
import { gate } from './gate.js';

export function attachSocket(server) {
  const sockets = new WebSocketServer({
    server,
    path: '/socket',
    maxPayload: 1024 * 1024,
    ...(gate && { verifyClient: ({ req }, done) => gate.verifyUpgrade(req).then(() => done(true), () => done(false, 401)) }),
    handleProtocols: (offered) => (offered.has('echo') ? 'echo' : false),
  });
  sockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('error', () => socket.terminate());
  });
  return sockets;
}
