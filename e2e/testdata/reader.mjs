// An app that says how it read each request. /ledger tells all readings since
// it was last asked, so that a smuggled request shows.
import { createServer } from 'node:http';

const ledger = [];

createServer((req, res) => {
  if (req.url === '/ledger') {
    res.end(JSON.stringify(ledger.splice(0)));
    return;
  }
  const reading = { method: req.method, target: req.url, headers: [], body: '' };
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    reading.headers.push([req.rawHeaders[i].toLowerCase(), req.rawHeaders[i + 1]]);
  }
  req.setEncoding('latin1');
  req.on('data', (piece) => { reading.body += piece; });
  req.on('end', () => {
    ledger.push(reading);
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify(reading));
  });
}).listen(Number(process.env.PORT), '127.0.0.1');
