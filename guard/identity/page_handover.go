package identity

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/pages"
	"hauberk.dev/store"
)

var handover = &guard.Rule{
	ID: "identity.handover", Severity: guard.High, Status: http.StatusForbidden,
	Title: "this sign-in cannot be handed over",
	Fix:   "begin again at the page that asked for it; a code that was used twice is one that somebody has read: look at who asked, with hauberk log",
	CWE:   346, ASVS: []string{"7.6.2", "10.1.2", "10.4.2", "10.4.3"},
}

const (
	handoverPrefix = "identity/handover/"
	// handoverLife is how long a person may take at the login host, and codeLife
	// how long the browser may take on the way back.
	handoverLife = 10 * time.Minute
	codeLife     = time.Minute
	// mostHandovers is how many a browser may have under way: its tabs.
	mostHandovers = 4
	// ownIssuer stands in grants of accounts of this gate beside the number of
	// the sign-in, by which all its sessions are found.
	ownIssuer = "hauberk"
)

// begun is a hand-over under way. It stands sealed in a cookie of the browser
// that began it: a code which another browser brings fits nothing there.
type begun struct {
	Secret []byte `json:"s"`
	To     string `json:"t"`
	Start  int64  `json:"i"`
}

// handed is a code in the store, under its digest: who reads the store cannot
// use it.
type handed struct {
	Host  string      `json:"host"`
	State string      `json:"state"`
	Grant guard.Grant `json:"grant"`
	// From is the session of the login host that it was made from.
	From string `json:"from"`
	// Used says that somebody brought it, Session what began then, and Replayed
	// that somebody brought it again.
	Used     bool   `json:"used,omitempty"`
	Session  string `json:"session,omitempty"`
	Replayed bool   `json:"replayed,omitempty"`

	key     string
	version uint64
	expires time.Time
}

// random returns 256 bits.
func random() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

// handOff sends a browser from the app's host to the login host.
func (r *Room) handOff(req *http.Request, fresh bool) (answer, error) {
	b := begun{random(), pages.Path(req.URL.Query().Get("to")), time.Now().Unix()}
	sum := sha256.Sum256(b.Secret)
	c, err := r.carry(req, sum[:], b)
	if err != nil {
		return answer{}, err
	}
	o := onward{hostOf(req), base64.RawURLEncoding.EncodeToString(sum[:]), fresh}
	return answer{to: originOf(req, r.c.Host) + o.path(), cookies: append(r.crowdedHandovers(req), c)}, nil
}

// handoverName is the cookie of a state: each hand-over has one of its own, so
// that two tabs do not lose each other's.
func handoverName(secure bool) string {
	if secure {
		return "__Host-Http-hauberk-handover-"
	}
	return "hauberk-handover-"
}

func handoverCookie(req *http.Request, name, value string, age int) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true,
		Secure: guard.From(req.Context()).Secure, SameSite: http.SameSiteLaxMode}
}

// sealer seals what stands in cookies of hand-overs, by a key of its own.
func (r *Room) sealer() (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, r.locks.seal[:], "hauberk identity hand-over", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// bound is what a sealed cookie is bound to: its name, and the host it is for.
func bound(req *http.Request, name string) []byte { return []byte(name + "\x00" + hostOf(req)) }

func (r *Room) carry(req *http.Request, state []byte, b begun) (*http.Cookie, error) {
	box, err := r.sealer()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	name := handoverName(guard.From(req.Context()).Secure) + hex.EncodeToString(state[:8])
	return handoverCookie(req, name, base64.RawURLEncoding.EncodeToString(box.Seal(nil, nil, text, bound(req, name))), int(handoverLife/time.Second)), nil
}

// begunBy opens a cookie, and says no to one that is not ours or too old.
func (r *Room) begunBy(req *http.Request, c *http.Cookie) (begun, bool) {
	var b begun
	box, err := r.sealer()
	if err != nil {
		return b, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return b, false
	}
	text, err := box.Open(nil, nil, sealed, bound(req, c.Name))
	if err != nil || json.Unmarshal(text, &b) != nil {
		return b, false
	}
	age := time.Since(time.Unix(b.Start, 0))
	return b, age > -time.Second && age < handoverLife
}

// crowdedHandovers ends the oldest of a browser that has many under way.
func (r *Room) crowdedHandovers(req *http.Request) []*http.Cookie {
	type old struct {
		name string
		at   int64
	}
	var all []old
	for _, c := range req.Cookies() {
		if strings.HasPrefix(c.Name, handoverName(guard.From(req.Context()).Secure)) {
			b, _ := r.begunBy(req, c)
			all = append(all, old{c.Name, b.Start})
		}
	}
	slices.SortStableFunc(all, func(a, b old) int { return int(b.at - a.at) })
	var ends []*http.Cookie
	for i, o := range all {
		if i >= mostHandovers-1 && len(ends) < 50 {
			ends = append(ends, handoverCookie(req, o.name, "", -1))
		}
	}
	return ends
}

// linked gives a grant the number of the sign-in that its session belongs to,
// so that one sign-out ends all that was handed over from it. The number of an
// OIDC provider is as good.
func (r *Room) linked(req *http.Request, g guard.Grant) guard.Grant {
	if r.c.Host == "" {
		return g
	}
	if g.Issuer == "" {
		g.Issuer = ownIssuer
	}
	if s := guard.From(req.Context()).Session; s != nil && g.SID == "" {
		if was, ok := s.Grant(); ok && was.User == g.User && was.Issuer == g.Issuer {
			g.SID = was.SID
		}
	}
	if g.SID == "" {
		g.SID = base64.RawURLEncoding.EncodeToString(random()[:16])
	}
	return g
}

// lead is where a sign-in ends: at a path of this host or, by a code, at the
// host that asked for it.
func (r *Room) lead(req *http.Request, g guard.Grant, to string) (string, error) {
	o, ok := r.onwardOf(to)
	if !ok {
		return to, nil
	}
	code := random()
	sum := sha256.Sum256(code)
	h := &handed{Host: o.host, State: o.state, Grant: g, From: guard.From(req.Context()).Session.ID(),
		key: handoverPrefix + hex.EncodeToString(sum[:]), expires: time.Now().Add(codeLife)}
	if err := r.keepHanded(req.Context(), h); err != nil {
		return "", fmt.Errorf("identity: keep a code: %w", err)
	}
	return originOf(req, o.host) + sessionPath + "?code=" + base64.RawURLEncoding.EncodeToString(code), nil
}

func (r *Room) keepHanded(ctx context.Context, h *handed) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	h.version, err = r.o.Records.Put(ctx, store.Record{Key: h.key, Value: text, Version: h.version, Expires: h.expires})
	return err
}

// handedBy reads a code, nil for none that holds.
func (r *Room) handedBy(ctx context.Context, code string) (*handed, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(code)
	if err != nil || len(raw) != 32 || len(code) != 43 {
		return nil, nil
	}
	sum := sha256.Sum256(raw)
	key := handoverPrefix + hex.EncodeToString(sum[:])
	rec, found, err := r.o.Records.Get(ctx, key)
	if err != nil || !found {
		return nil, err
	}
	h := &handed{key: key, version: rec.Version, expires: rec.Expires}
	if err := json.Unmarshal(rec.Value, h); err != nil {
		return nil, fmt.Errorf("identity: read a code: %w", err)
	}
	return h, nil
}

// redeem uses a code up, before anything else is looked at: whoever brings it,
// it is good for nothing any more (RFC 9700, 4.5). Brought again, it ends what
// it had begun.
func (r *Room) redeem(req *http.Request) (*handed, error) {
	for range 8 {
		h, err := r.handedBy(req.Context(), req.URL.Query().Get("code"))
		switch {
		case err != nil:
			return nil, err
		case h == nil:
			return nil, handover.Deny("no such code: it is older than %s, or of nobody", codeLife).In("query.code")
		case h.Used:
			h.Replayed = true
		}
		h.Used = true
		err = r.keepHanded(req.Context(), h)
		switch {
		case errors.Is(err, store.ErrConflict):
			continue // another was faster
		case err != nil:
			return nil, err
		case h.Replayed:
			return nil, r.replayed(req, h)
		}
		return h, nil
	}
	return nil, store.ErrConflict
}

// replayed ends what a code had begun. Where that cannot be found any more, or
// not yet, all sessions of its sign-in end.
func (r *Room) replayed(req *http.Request, h *handed) error {
	d := handover.Deny("a code that had been used: the session that it began is ended").In("query.code")
	ended := false
	if h.Session != "" {
		var err error
		if ended, err = r.o.Sessions.End(req.Context(), h.Grant.User, h.Session); err != nil {
			return err
		}
	}
	if !ended {
		if _, err := r.o.Sessions.EndOIDC(req.Context(), h.Grant.Issuer, h.Grant.SID, ""); err != nil {
			return err
		}
	}
	return d
}

// land takes a code at the app's host and begins the session there.
func (r *Room) land(req *http.Request) (answer, error) {
	a, err := r.arriveBy(req)
	var d *guard.Denial
	if errors.As(err, &d) && d.Rule == handover {
		err = r.again(req, d, pages.Wrong{Key: "wrong.handover", To: pages.Home, Link: "wrong.home"})
	}
	return a, err
}

func (r *Room) arriveBy(req *http.Request) (answer, error) {
	h, err := r.redeem(req)
	if err != nil {
		return answer{}, err
	}
	b, end, err := r.recognize(req, h)
	var out answer
	if end != nil {
		out.cookies = []*http.Cookie{end}
	}
	if err != nil {
		return out, err
	}
	a, found, err := r.book.Fresh(req.Context(), h.Grant.User)
	if err != nil {
		return out, err
	}
	if !found || !a.Stands(h.Grant) {
		return out, handover.Deny("the account is not what it was at the sign-in")
	}
	// A code kept in hand must not bring back a session that has been ended.
	alive, err := r.o.Sessions.List(req.Context(), h.Grant.User)
	if err != nil {
		return out, err
	}
	if !slices.ContainsFunc(alive, func(v Visit) bool { return v.ID == h.From }) {
		return out, handover.Deny("the session that it came from is over")
	}
	if err := r.o.Sessions.Begin(req, h.Grant); err != nil {
		return out, err
	}
	x := guard.From(req.Context())
	h.Session = x.Session.ID()
	if err := r.keepHanded(req.Context(), h); err != nil {
		// Somebody brought the code meanwhile, or nobody can tell: then nothing
		// may have begun.
		if err2 := r.o.Sessions.SignOut(req); err2 != nil || !errors.Is(err, store.ErrConflict) {
			return out, errors.Join(err, err2)
		}
		return out, handover.Deny("another brought the same code meanwhile")
	}
	e := signedIn.Noted("%s by %s", a.Name, r.c.Host)
	e.User = a.ID
	x.Emit(e)
	out.to = b.To
	return out, nil
}

// recognize holds that the browser that brings a code is the one that asked for
// it, at the host for which it was made.
func (r *Room) recognize(req *http.Request, h *handed) (begun, *http.Cookie, error) {
	if h.Host != hostOf(req) {
		return begun{}, nil, handover.Deny("the code is for %q", h.Host)
	}
	state, err := base64.RawURLEncoding.DecodeString(h.State)
	if err != nil || len(state) != sha256.Size {
		return begun{}, nil, handover.Deny("a code without a state")
	}
	name := handoverName(guard.From(req.Context()).Secure) + hex.EncodeToString(state[:8])
	all := req.CookiesNamed(name)
	if len(all) != 1 {
		return begun{}, nil, handover.Deny("%d cookies for this code: another browser asked for it, or it is over", len(all)).In("header.Cookie")
	}
	end := handoverCookie(req, name, "", -1)
	b, ok := r.begunBy(req, all[0])
	sum := sha256.Sum256(b.Secret)
	if !ok || subtle.ConstantTimeCompare(sum[:], state) != 1 {
		return begun{}, end, handover.Deny("its cookie is not ours, or older than %s", handoverLife).In("header.Cookie")
	}
	return b, end, nil
}
