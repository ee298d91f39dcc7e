// An app that says which handler answered. The arguments are the version of
// Express and the port.
const express = require('express' + process.argv[2]);
const override = require('method-override');

const app = express();
app.use(override('X-HTTP-Method-Override'));
app.use(override('_method'));
const says = (who) => (req, res) => res.set('X-Handler', who).send(who + '\n');
app.use('/admin', says('admin'));
app.use(says('public'));
app.listen(Number(process.argv[3]), '127.0.0.1');
