// Answers with what the companion verified of each request. The argument is
// the folder of npm/express; settings come as JSON.
const http = require('node:http');
const crypto = require('node:crypto');
const { hauberk } = require(process.argv[2]);

let reason = '';
const gate = hauberk({ ...JSON.parse(process.argv[3]), onError: (err) => { reason = err.message; } });

const server = http.createServer((req, res) => {
  res.on('finish', () => { if (res.statusCode !== 200) console.error(req.method, req.url, reason); });
  gate(req, res, () => {
    const sum = crypto.createHash('sha256');
    req.on('data', (piece) => sum.update(piece)).on('end', () => res.end(JSON.stringify({
      target: req.url, user: req.user, anonymous: req.auth.anonymous, bound: req.auth.bodyBound, sum: sum.digest('hex'),
    })));
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
