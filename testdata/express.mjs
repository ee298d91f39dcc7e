// Routes requests as Express does, and answers which route took them.
//
// A line of JSON on stdin, a list of [kind, pattern] with kind "all" or "use",
// makes a new application; a line on stdout says that it stands. The first
// line on stdout is the port.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import http from "node:http";

const express = createRequire(process.argv[2])("express");
let app = express();

const server = http.createServer((req, res) => app(req, res));
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const next = express();
  JSON.parse(line).forEach(([kind, pattern], i) => {
    next[kind](pattern, (req, res) => res.end(String(i)));
  });
  next.use((req, res) => res.end("none"));
  app = next;
  console.log("ready");
});
lines.on("close", () => process.exit(0));
