// Small apps as their packages' pages write them, none of which knows of a
// gate: sign-in, a counter, a form, a token for scripts, sign-out.
//
//   node app.mjs KIND PORT
import crypto from "node:crypto";
import express from "express";
import session from "express-session";
import cookieSession from "cookie-session";
import cookieParser from "cookie-parser";
import { doubleCsrf } from "csrf-csrf";
import lusca from "lusca";

const [kind, port] = process.argv.slice(2);
const secret = "an app's own secret";
const app = express();
app.set("trust proxy", "loopback");
app.use(express.urlencoded({ extended: false }), express.json(), cookieParser(secret));

// memory is express-session with the store that it brings along.
const memory = (options) => app.use(session({ secret, resave: false, saveUninitialized: false, ...options }));
// fixed says that the app keeps one id before and after sign-in.
let fixed = false;
let token = () => "";

switch (kind) {
  case "regenerate":
    memory({ cookie: { maxAge: 3600_000 } });
    break;
  case "fixed":
    fixed = true;
    memory({ saveUninitialized: true, resave: true });
    break;
  case "rolling":
    memory({ rolling: true, cookie: { maxAge: 3600_000, sameSite: "strict" } });
    break;
  case "cookie-session":
    fixed = true;
    app.use(cookieSession({ name: "session", secret, maxAge: 3600_000 }));
    break;
  case "csrf-csrf": {
    memory({ saveUninitialized: true });
    const { generateCsrfToken, doubleCsrfProtection } = doubleCsrf({
      getSecret: () => secret,
      getSessionIdentifier: (req) => req.session.id,
      getCsrfTokenFromRequest: (req) => req.headers["x-csrf-token"] || req.body?._csrf,
    });
    app.use(doubleCsrfProtection);
    token = generateCsrfToken;
    break;
  }
  case "lusca":
    memory({});
    // Single-page apps read XSRF-TOKEN and send it back as x-xsrf-token.
    app.use(lusca.csrf({ angular: true }));
    token = (req, res) => res.locals._csrf;
    break;
  default:
    throw new Error(`no app ${kind}`);
}

app.get("/", (req, res) => {
  if (kind !== "lusca") res.cookie("XSRF-TOKEN", crypto.randomBytes(9).toString("base64url"));
  res.cookie("theme", "dark", { path: "/" });
  res.send("<!doctype html><title>app</title><h1>app</h1>");
});

// What the app knows, and the cookies as they came up.
app.get("/me", (req, res) => {
  res.json({ user: req.session?.user ?? null, count: req.session?.count ?? 0, cookie: req.headers.cookie ?? "" });
});

app.get("/form", (req, res) => {
  res.json({ token: token(req, res) ?? "" });
});

app.post("/sign-in", (req, res, next) => {
  const sign = (err) => {
    if (err) return next(err);
    req.session.user = req.body.name;
    res.redirect(303, "/me");
  };
  if (fixed) return sign();
  req.session.regenerate(sign);
});

app.post("/count", (req, res) => {
  req.session.count = (req.session.count ?? 0) + 1;
  res.json({ count: req.session.count });
});

// Another cookie for each name, after a while: requests overlap.
app.post("/set/:name", (req, res) => {
  setTimeout(() => {
    res.cookie(req.params.name, "v-" + req.params.name, { httpOnly: true });
    res.json({});
  }, 20 + Math.random() * 30);
});

app.post("/sign-out", (req, res) => {
  if (kind === "cookie-session") {
    req.session = null;
    return res.redirect(303, "/");
  }
  req.session.destroy(() => {
    res.clearCookie("connect.sid");
    res.redirect(303, "/");
  });
});

app.use((err, req, res, next) => {
  res.status(err.status ?? err.statusCode ?? 500).json({ error: err.code ?? err.message });
});

app.listen(Number(port), "127.0.0.1", () => console.log("listening"));
