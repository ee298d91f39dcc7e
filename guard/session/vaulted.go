package session

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session/vault"
)

var vaultFull = &guard.Rule{
	ID: "session.vault-full", Severity: guard.Medium, Title: "a cookie of the app could not be kept",
	Fix: "let the app set fewer and shorter HttpOnly cookies: 32 a session, 4 KiB each, 16 KiB together, 8 KiB in one request, 64 names a site",
	CWE: 770, ASVS: []string{"3.3.5"},
}

// Vault keeps the app's cookies, and our own from the app. What the app sets
// HttpOnly, so for no script, stays here: a browser that is robbed has nothing
// of it, and nobody can bring his own (CWE-384).
func (r *Room) Vault(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		t := &trip{room: r, req: req, x: guard.From(req.Context())}
		up := req
		if mentions(req.Header["Cookie"]) {
			up = t.own(up)
			withoutOurs(up.Header)
		}
		if !r.vaulted(t.x) {
			guard.Edit(w, up, t.bar, next)
			return
		}
		if err := t.open(up); err != nil && guard.Refuse(w, req, err) {
			return
		}
		guard.Edit(w, t.up(up), t.amend, next)
	})
}

// own is a copy of the request with a header in which a name can be set. Most
// requests go up as they are, so it is made where it is asked for.
func (t *trip) own(up *http.Request) *http.Request {
	if up == &t.copy {
		return up
	}
	t.copy = *up
	t.copy.Header = maps.Clone(up.Header)
	return &t.copy
}

// trip is one request on its way through the vault.
type trip struct {
	room  *Room
	req   *http.Request
	x     *guard.Exchange
	names *names
	jar   vault.Jar // what the session held when the request came
	held  []string  // their names, folded
	sent  []string  // the browser's cookies, without ours
	ask   vault.Ask
	full  []string // names that found no room
	over  bool

	copy   http.Request // of req, where the app gets another header
	cookie [1]string    // its field Cookie
}

// open reads what the request needs: what the site's app keeps, and what this
// session holds of it.
func (t *trip) open(up *http.Request) error {
	req := t.req
	t.sent = up.Header["Cookie"]
	t.ask = vault.Ask{
		Host: bare(req.Host), Path: req.URL.EscapedPath(), Secure: t.x.Secure || t.x.Local,
		Foreign: req.Header.Get("Sec-Fetch-Site") == "cross-site", Now: time.Now(),
	}
	if len(t.sent) > 0 {
		if err := t.know(req.Context()); err != nil {
			return err
		}
	}
	s := stateOf(req)
	if s == nil {
		return nil
	}
	o, err := s.open()
	if err != nil {
		return err
	}
	t.jar, t.held = o.jar, o.folded
	return nil
}

// know reads the names that the site's app keeps, where they are asked for:
// nobody who brings no cookie waits for the store.
func (t *trip) know(ctx context.Context) (err error) {
	if t.names == nil {
		t.names, err = t.room.names(ctx, t.x.Route.Site)
	}
	return err
}

// bare is a Host field without its port, in lower case.
func bare(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(host)
}

// up returns the request as the app gets it.
func (t *trip) up(req *http.Request) *http.Request {
	mine := t.jar.For(t.ask)
	if len(mine) == 0 && len(t.sent) == 0 {
		return req
	}
	if len(mine) == 0 && !vault.Names(t.sent, t.drops) {
		return req // each byte as it came
	}
	header, _, fits := vault.Compile(t.sent, mine, t.drops)
	if !fits {
		t.x.Emit(vaultFull.Noted("cookies over %d bytes for one request: some did not go up", vault.MaxHeader))
	}
	req = t.own(req)
	if header == "" {
		delete(req.Header, "Cookie")
	} else {
		t.cookie[0] = header
		req.Header["Cookie"] = t.cookie[:]
	}
	return req
}

// drops says which cookies of the browser do not go up: names that this
// session keeps, and names that this app keeps to itself in every session.
// The second is what kills a planted cookie before there is a session.
func (t *trip) drops(folded string) bool {
	return slices.Contains(t.held, folded) || t.names.hides(folded)
}

// bar takes what the app may not set out of its answer: cookies of our names.
func (t *trip) bar(h http.Header, _ *http.Request, _ int) error {
	if withoutTheirs(h) {
		t.x.Emit(ownCookie.Noted("a cookie of a name that is Hauberk's: it does not leave"))
	}
	return nil
}

// amend takes the app's cookies out of its answer.
func (t *trip) amend(h http.Header, _ *http.Request, status int) error {
	if t.over {
		return nil // of trailers, no Set-Cookie leaves
	}
	t.over = true
	if err := t.bar(h, nil, 0); err != nil {
		return err
	}
	if len(h["Set-Cookie"]) > 0 {
		if err := t.know(t.req.Context()); err != nil {
			return err
		}
	}
	changes, touched := t.sort(h)
	if err := t.save(changes, status); err != nil || !touched {
		return err
	}
	// The answer was for one browser, and what said so to caches is gone.
	delete(h, "Expires")
	delete(h, "Pragma")
	private(h)
	return nil
}

// sort parts the answer's Set-Cookie fields into those for the vault and those
// for the browser.
func (t *trip) sort(h http.Header) (changes []vault.Change, touched bool) {
	lines := h["Set-Cookie"]
	if len(lines) == 0 {
		return nil, false
	}
	now := time.Now()
	var pass, ends []string
	var names []string // of pass
	for _, line := range lines {
		l, ok := vault.Read(line, now)
		if l.Kept() {
			touched = true
			if !ok || l.Name == "" {
				t.x.Emit(vaultFull.Noted("the cookie %q: browsers ignore it, for its length or the promise of its prefix, or it has no name", shown(l.Name)))
				continue
			}
			pass, names = without(pass, names, l.Name)
			c := t.change(&l, now)
			changes = append(changes, c)
			if vault.Sent(t.sent, l.Name) {
				ends = append(ends, t.end(c.Name, c.Path))
			}
			continue
		}
		if c := t.change(&l, now); ok && l.Name != "" && (t.jar.Holds(c.Host, c.Name, now) || holds(changes, c.Name) || !c.Gone && t.names.hides(vault.Fold(c.Name))) {
			// The app has changed its mind: the name is the browser's now. One
			// that deletes may leave the attribute out and mean its own.
			c.Named = !c.Gone
			changes, touched = append(changes, c), true
		}
		pass, names = append(pass, line), append(names, l.Name)
	}
	if !touched {
		return nil, false
	}
	// What ends a cookie goes first: of two lines of one name the last counts.
	if out := append(ends, pass...); len(out) > 0 {
		h["Set-Cookie"] = out
	} else {
		delete(h, "Set-Cookie")
	}
	return changes, true
}

// without takes the lines of a name out again.
func without(lines, names []string, name string) (l, n []string) {
	for i := range lines {
		if names[i] != name {
			l, n = append(l, lines[i]), append(n, names[i])
		}
	}
	return l, n
}

func holds(changes []vault.Change, name string) bool {
	for i := range changes {
		if changes[i].Name == name && !changes[i].Gone && !changes[i].Named {
			return true
		}
	}
	return false
}

func (t *trip) change(l *vault.Line, now time.Time) vault.Change {
	path := l.Path
	if path == "" {
		path = vault.Default(t.ask.Path)
	}
	return vault.Change{Gone: l.Ended(now), Weak: safe(t.req.Method), Cookie: vault.Cookie{
		Host: t.ask.Host, Name: l.Name, Path: path, Value: l.Value, Secure: l.Secure, SameSite: l.SameSite, Expires: l.Expires,
	}}
}

// end is a Set-Cookie that ends the browser's own copy, from the time before
// the vault.
func (t *trip) end(name, path string) string {
	line := name + "=; Path=" + path + "; Max-Age=0; HttpOnly; SameSite=Lax"
	if t.ask.Secure || strings.HasPrefix(name, "__") {
		line += "; Secure"
	}
	return line
}

// saving is how long a change may take: it is kept for a client that has gone.
const saving = 5 * time.Second

// save puts the changes into the session, and gives it another id where the
// app may have signed somebody in.
func (t *trip) save(changes []vault.Change, status int) error {
	if len(changes) == 0 && !t.signs(status) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.req.Context()), saving)
	defer cancel()
	defer t.tell()
	if err := t.room.learn(ctx, t.x, changes); err != nil {
		return err
	}
	s := stateOf(t.req)
	if s == nil {
		return t.begin(ctx, changes)
	}
	w := how{edit: t.edit(changes), atOnce: t.signs(status)}
	worth, changed := t.worth(changes)
	if _, in := s.Grant(); !in && (changed && !t.background() || w.atOnce) {
		// Where somebody has signed in with us that gave the session its id, and
		// who had the one before has nothing.
		if done, err := s.rotate(ctx, w); done || err != nil {
			return err
		}
	}
	if !worth {
		return nil
	}
	return t.write(ctx, s, changes)
}

// begin makes a session for the first cookie that is to be kept.
func (t *trip) begin(ctx context.Context, changes []vault.Change) error {
	if _, effect, _ := vault.Jar(nil).Apply(nil, changes, time.Now()); effect == vault.Nothing {
		return nil
	}
	s, err := t.room.anonymous(t.req)
	if s == nil || err != nil {
		return err
	}
	return t.write(ctx, s, changes)
}

// worth says whether the store has to be asked, and whether the app may have
// signed somebody in: not where it sets again what stands. A deletion may mean
// what another request has set meanwhile.
func (t *trip) worth(changes []vault.Change) (worth, changed bool) {
	for i := range changes {
		worth = worth || changes[i].Gone || changes[i].Named
	}
	_, effect, refused := t.jar.Apply(t.jar, changes, time.Now())
	return worth || effect != vault.Nothing || len(refused) > 0, effect == vault.Changed
}

// write puts the changes into the newest of the session's vaults.
func (t *trip) write(ctx context.Context, s *state, changes []vault.Change) error {
	err := s.update(ctx, t.edit(changes))
	if errors.Is(err, errGone) {
		return nil // signed out meanwhile: there is nothing to keep it for
	}
	return err
}

// edit applies the changes to what stands.
func (t *trip) edit(changes []vault.Change) func([]byte) ([]byte, error) {
	return func(old []byte) ([]byte, error) {
		stands, _ := vault.Decode(old)
		out, effect, refused := stands.Apply(t.jar, changes, time.Now())
		t.full = refused
		if effect == vault.Nothing {
			return old, nil
		}
		return out.Encode(), nil
	}
}

// tell journals what the vault had no room for.
func (t *trip) tell() {
	for _, name := range t.full {
		t.x.Emit(vaultFull.Noted("the cookie %q: the session's vault is full", shown(name)))
	}
}

// signs says that the answer may be one to a sign-in of which the cookies tell
// nothing: an app that keeps its session's id says so in its own memory alone.
// A form that a person sent is rare, so each gets another id. A program that
// keeps one Cookie field for ever is no browser, and nobody plants it one.
func (t *trip) signs(status int) bool {
	return !safe(t.req.Method) && len(t.jar) > 0 && status >= 200 && status < 400 && t.req.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// background says that a script of the app, or a page's image, asks for what
// changes nothing: nobody signs in so.
func (t *trip) background() bool {
	mode := t.req.Header.Get("Sec-Fetch-Mode")
	return safe(t.req.Method) && mode != "" && mode != "navigate"
}

// safe says whether a method asks for nothing to change (RFC 9110, 9.2.1).
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions || method == http.MethodTrace
}

// shown bounds a name for the log.
func shown(name string) string { return name[:min(len(name), 64)] }
