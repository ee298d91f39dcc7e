package oidc

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"hauberk.dev/guard"
	"hauberk.dev/internal/origin"
)

const (
	// lifetime is how long a person may take at the provider.
	lifetime = 10 * time.Minute
	// most is how many sign-ins one browser may have under way: its tabs.
	most = 4
	// maxTo bounds the way back, and so the cookie.
	maxTo = 1024

	cookie = "hauberk-oidc-"
	// secured is enforced by browsers: written by the server alone, over TLS,
	// for this host.
	secured = "__Host-Http-" + cookie
)

// flow is a sign-in under way. It stands sealed in a cookie of the browser
// that began it, so that an answer which another browser brings (a stolen
// code, a sign-in planted on a victim) fits nothing.
type flow struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Redirect string `json:"r"`
	To       string `json:"t"`
	Start    int64  `json:"i"`
	Fresh    bool   `json:"f,omitempty"`
}

func (f *flow) start() time.Time { return time.Unix(f.Start, 0) }

// Start begins a sign-in: where the browser goes, and the cookies that it
// takes along. to is where it is led afterwards.
func (p *Provider) Start(r *http.Request, to string) (string, []*http.Cookie, error) {
	return p.begin(r, to, false)
}

// Again is Start for somebody who is signed in and must prove it anew: Finish
// then refuses an answer for which the provider asked the person nothing.
func (p *Provider) Again(r *http.Request, to string) (string, []*http.Cookie, error) {
	return p.begin(r, to, true)
}

func (p *Provider) begin(r *http.Request, to string, fresh bool) (string, []*http.Cookie, error) {
	m, err := p.load(r.Context())
	if err != nil {
		return "", nil, err
	}
	redirect, err := p.redirect(r)
	if err != nil {
		return "", nil, err
	}
	f := flow{State: secret(), Nonce: secret(), Verifier: oauth2.GenerateVerifier(),
		Redirect: redirect, To: local(to), Start: time.Now().Unix(), Fresh: fresh}
	sealed, err := p.seal(&f)
	if err != nil {
		return "", nil, err
	}
	_, client := p.oauth(r.Context(), m, redirect)
	with := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(f.Verifier), oauth2.SetAuthURLParam("nonce", f.Nonce)}
	if fresh {
		with = append(with, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	} else if p.Refresh {
		// Without consent a provider gives no token for offline use (OpenID
		// Connect Core, 11).
		with = append(with, oauth2.SetAuthURLParam("prompt", "consent"))
	}
	return client.AuthCodeURL(f.State, with...), append(p.crowded(r), sealed), nil
}

// redirect is the one address at which this provider's answers are taken: with
// another provider's at another one, no answer is taken for that of another
// (RFC 9700, 4.4).
func (p *Provider) redirect(r *http.Request) (string, error) {
	at := p.origin
	if at == "" {
		own, ok := origin.Of(guard.From(r.Context()).Secure, r.Host)
		if !ok {
			return "", Flow.because("host %.200q is none", r.Host)
		}
		at = own
	}
	return at + "/.hauberk/oidc/" + p.Name + "/callback", nil
}

// secret returns 256 random bits.
func secret() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// local returns a path of this origin: "/" for what a browser could take for
// another one.
func local(to string) string {
	u, err := url.Parse(to)
	bad := func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }
	if err != nil || len(to) > maxTo || u.Scheme != "" || u.Host != "" || u.User != nil ||
		!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsFunc(to, bad) {
		return "/"
	}
	return to
}

// named returns the name of the cookie of a state. A flow has a cookie of its
// own, so that tabs which begin at once do not lose each other's.
func named(state, redirect string) string {
	sum := sha256.Sum256([]byte(state))
	prefix := cookie
	if strings.HasPrefix(redirect, "https:") {
		prefix = secured
	}
	return prefix + hex.EncodeToString(sum[:8])
}

func carry(name, value string, age int) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true,
		Secure: strings.HasPrefix(name, secured), SameSite: http.SameSiteLaxMode}
}

func (p *Provider) seal(f *flow) (*http.Cookie, error) {
	data, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	name := named(f.State, f.Redirect)
	sealed := p.flows.Seal(nil, nil, data, []byte(name))
	return carry(name, base64.RawURLEncoding.EncodeToString(sealed), int(lifetime.Seconds())), nil
}

// unseal opens a cookie, and says no to one that is not ours or too old.
func (p *Provider) unseal(c *http.Cookie) (*flow, bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return nil, false
	}
	data, err := p.flows.Open(nil, nil, sealed, []byte(c.Name))
	if err != nil {
		return nil, false
	}
	var f flow
	if json.Unmarshal(data, &f) != nil {
		return nil, false
	}
	age := time.Since(f.start())
	return &f, age > -time.Second && age < lifetime
}

// crowded returns the cookies that end the oldest sign-ins of a browser that
// has many, to leave room for one more.
func (p *Provider) crowded(r *http.Request) []*http.Cookie {
	type old struct {
		name string
		at   int64
	}
	var all []old
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, cookie) && !strings.HasPrefix(c.Name, secured) {
			continue
		}
		o := old{name: c.Name}
		if f, ok := p.unseal(c); ok {
			o.at = f.Start
		}
		all = append(all, o)
	}
	slices.SortStableFunc(all, func(a, b old) int { return cmp.Compare(b.at, a.at) })
	var ends []*http.Cookie
	for i, o := range all {
		if i >= most-1 && len(ends) < 50 {
			ends = append(ends, carry(o.name, "", -1))
		}
	}
	return ends
}

// resume finds the flow that an answer belongs to, in the cookies of the
// browser that brings it.
func (p *Provider) resume(ctx context.Context, r *http.Request, state string) (*flow, *http.Cookie, error) {
	redirect, err := p.redirect(r.WithContext(ctx))
	if err != nil {
		return nil, nil, err
	}
	if len(state) != 43 {
		return nil, nil, Flow.because("state %.64q is not one of ours", state)
	}
	name := named(state, redirect)
	found := r.CookiesNamed(name)
	if len(found) != 1 {
		return nil, nil, Flow.because("%d cookies for this state: another browser began it, or it is over", len(found))
	}
	end := carry(name, "", -1)
	f, ok := p.unseal(found[0])
	switch {
	case !ok:
		return nil, end, Flow.because("its cookie is not ours, or older than %s", lifetime)
	case subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1:
		return nil, end, Flow.because("the state is that of another sign-in")
	case f.Redirect != redirect: // another provider's, or another site's
		return nil, end, Mixup.because("began for %q", f.Redirect)
	case !p.states.first(state, f.start().Add(lifetime)):
		return nil, end, Replay.because("this state has been used")
	}
	return f, end, nil
}

func addQuery(at string, pairs ...string) string {
	u, err := url.Parse(at)
	if err != nil {
		return at
	}
	q := u.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}
