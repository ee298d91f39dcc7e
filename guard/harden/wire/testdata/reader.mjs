// Tells how Node reads each request: a second reader to hold the check
// against. It prints its port and the
// methods that Node knows, and ends when its standard input does.
import { createHash } from 'node:crypto';
import { createServer, METHODS } from 'node:http';

const server = createServer((req, res) => {
  const sum = createHash('sha256');
  let length = 0;
  req.on('data', (b) => { length += b.length; sum.update(b); });
  req.on('end', () => {
    const fields = createHash('sha256');
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      fields.update(Buffer.from(`${req.rawHeaders[i]}:${req.rawHeaders[i + 1]}\n`, 'latin1'));
    }
    res.setHeader('Read', [req.method, req.url, req.headers.host, fields.digest('hex'), length, sum.digest('hex')].join(' '));
    res.setHeader('Content-Length', '0');
    res.end();
  });
  req.on('error', () => {});
});
server.listen(0, '127.0.0.1', 511, () => console.log(server.address().port, METHODS.join(' ')));
process.stdin.on('end', () => process.exit(0)).resume();
