// An app with the companion, which says what it was handed. The arguments are
// the folder of npm/express, the companion's settings as JSON, the port, and by
// how many seconds the clock of this process is ahead.
const path = require('node:path');
const [dir, settings, port, ahead] = process.argv.slice(2);
const now = Date.now;
Date.now = () => now() + Number(ahead) * 1000;

const { hauberk } = require(dir);
const express = require(path.join(dir, 'node_modules', 'express'));

const app = express();
app.use(hauberk({ ...JSON.parse(settings), onError: () => {} }));
app.use(express.text({ type: () => true }));
app.use((req, res) => {
  console.log(JSON.stringify({ assertion: req.get('Hauberk-Identity'), user: req.user?.name }));
  res.send(req.user?.name ?? 'nobody');
});
app.listen(Number(port), '127.0.0.1');
