// Runs MDN's HTTP Observatory against a site on this machine.
//
//   node scan.mjs NAME TLS_PORT CLEAR_PORT
//
// The scanner asks for https://NAME/ and http://NAME/. In this process alone
// NAME is 127.0.0.1, and its two standard ports are the two given.
import dns from 'node:dns';
import net from 'node:net';
import { scan } from './node_modules/@mdn/mdn-http-observatory/src/scanner/index.js';

const [name, secure, clear] = process.argv.slice(2);

const lookup = dns.lookup;
dns.lookup = (host, options, done) => {
  if (host !== name) return lookup(host, options, done);
  const tell = typeof options === 'function' ? options : done;
  if (options?.all) return process.nextTick(tell, null, [{ address: '127.0.0.1', family: 4 }]);
  return process.nextTick(tell, null, '127.0.0.1', 4);
};

const ports = new Map([[443, Number(secure)], [80, Number(clear)]]);
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (options?.host === name && ports.has(Number(options.port))) {
    options.port = ports.get(Number(options.port));
    options.lookup = dns.lookup;
  }
  return connect.apply(this, args);
};

const result = await scan(name);
const tests = Object.fromEntries(Object.entries(result.tests).map(([key, test]) => (
  [key, { result: test.result, pass: test.pass, modifier: test.scoreModifier }]
)));
console.log(JSON.stringify({ score: result.scan.score, grade: result.scan.grade, tests }));
