// Says of generated Set-Cookie fields what tough-cookie makes of them, as JSON
// lines: a reader of cookies that we did not write.
//
//   node oracle.mjs < cases   (one JSON object a line: field, path, ask, now)
import readline from "node:readline";
import { Cookie, CookieJar, defaultPath, pathMatch } from "tough-cookie";

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { field, path, ask, now } = JSON.parse(line);
  const c = Cookie.parse(field, { loose: true });
  const out = { ok: Boolean(c) };
  if (c) {
    const at = new Date(now);
    c.creation = at;
    const path_ = c.path ?? defaultPath(path);
    const end = c.expiryTime(at);
    Object.assign(out, {
      name: c.key, value: c.value, path: path_, http: c.httpOnly, secure: c.secure, domain: c.domain ?? "",
      site: c.sameSite ?? "", end: end === Infinity ? "never" : end === -Infinity ? "past" : String(end), match: pathMatch(ask, path_),
    });
  }
  console.log(JSON.stringify(out));
}
