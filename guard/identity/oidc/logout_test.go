package oidc_test

import (
	"crypto/rand"
	"maps"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/identity/oidc"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func TestALogoutIsTheProvidersForThisSiteNowAndOnce(t *testing.T) {
	p := newProvider(t)
	s := newSite(t, oidc.Options{}, p.config("one"))
	now := time.Now().Unix()
	base := func() object {
		return object{"iss": p.URL, "aud": "gate", "iat": now, "exp": now + 120, "jti": rand.Text(), "sub": "ann", "sid": "s1", "events": object{logoutEvent: object{}}}
	}
	with := func(c object) object {
		b := base()
		maps.Copy(b, c)
		maps.DeleteFunc(b, func(_ string, v any) bool { return v == nil })
		return b
	}
	typ := func(s string) object { return object{"alg": "ES256", "kid": "1", "typ": s} }
	right := es256(signing)(typ("logout+jwt"), base())
	for _, c := range []struct {
		name, raw string
		want      oidc.Reason
	}{
		{"a logout", right, "<nil>"},
		{"the same again", right, oidc.Replay},
		{"without typ", es256(signing)(object{"alg": "ES256", "kid": "1"}, base()), "<nil>"},
		{"typ JWT", es256(signing)(typ("JWT"), base()), "<nil>"},
		{"sub alone", es256(signing)(typ("logout+jwt"), with(object{"sid": nil})), "<nil>"},
		{"sid alone", es256(signing)(typ("logout+jwt"), with(object{"sub": nil})), "<nil>"},
		{"neither", es256(signing)(typ("logout+jwt"), with(object{"sub": nil, "sid": nil})), oidc.Token},
		{"sid is a number", es256(signing)(typ("logout+jwt"), with(object{"sid": 1})), oidc.Token},
		{"typ at+jwt", es256(signing)(typ("at+jwt"), base()), oidc.Token},
		{"an ID token", es256(signing)(typ("JWT"), with(object{"events": nil, "nonce": "n"})), oidc.Token},
		{"with a nonce", es256(signing)(typ("logout+jwt"), with(object{"nonce": "n"})), oidc.Token},
		{"with an empty nonce", es256(signing)(typ("logout+jwt"), with(object{"nonce": ""})), oidc.Token},
		{"no events", es256(signing)(typ("logout+jwt"), with(object{"events": nil})), oidc.Token},
		{"another event", es256(signing)(typ("logout+jwt"), with(object{"events": object{"https://other": object{}}})), oidc.Token},
		{"the event is a text", es256(signing)(typ("logout+jwt"), with(object{"events": object{logoutEvent: "yes"}})), oidc.Token},
		{"wrong iss", es256(signing)(typ("logout+jwt"), with(object{"iss": "https://evil.example"})), oidc.Token},
		{"wrong aud", es256(signing)(typ("logout+jwt"), with(object{"aud": "another"})), oidc.Token},
		{"no iat", es256(signing)(typ("logout+jwt"), with(object{"iat": nil})), oidc.Token},
		{"issued long ago", es256(signing)(typ("logout+jwt"), with(object{"iat": now - 300})), oidc.Token},
		{"from the future", es256(signing)(typ("logout+jwt"), with(object{"iat": now + 300})), oidc.Token},
		{"expired", es256(signing)(typ("logout+jwt"), with(object{"exp": now - 120})), oidc.Token},
		{"no exp", es256(signing)(typ("logout+jwt"), with(object{"exp": nil})), oidc.Token},
		{"no jti", es256(signing)(typ("logout+jwt"), with(object{"jti": nil})), oidc.Token},
		{"another's signature", es256(foreign)(typ("logout+jwt"), base()), oidc.Token},
		{"HS256 with the client's secret", hs256(clientSecret)(object{"alg": "HS256", "typ": "logout+jwt"}, base()), oidc.Token},
		{"alg none", input(object{"alg": "none", "typ": "logout+jwt"}, base()) + ".", oidc.Token},
		{"no JWS", "x", oidc.Token},
	} {
		e, err := s.ps["one"].Logout(t.Context(), url.Values{"logout_token": {c.raw}})
		if reason(err) != c.want {
			t.Errorf("%s: got %v, want reason %s", c.name, err, c.want)
		}
		if err == nil && (e.Issuer != p.URL || e.Subject == "" && e.SID == "") {
			t.Errorf("%s: got %+v", c.name, e)
		}
	}
	for _, form := range []url.Values{{}, {"logout_token": {right, right}}} {
		if _, err := s.ps["one"].Logout(t.Context(), form); reason(err) != oidc.Token {
			t.Errorf("%d logout tokens: got %v", len(form["logout_token"]), err)
		}
	}
}

// renewing returns a site with one session, of which the refresh token is due.
func renewing(t *testing.T) (*provider, *site, *drawer) {
	p, d := newProvider(t), &drawer{at: map[string][]byte{}}
	c := p.config("one")
	c.Refresh = true
	s := newSite(t, oidc.Options{Keeper: d}, c)
	id, _, err := s.visit(t, browser(), "/.hauberk/oidc/one")
	if err != nil || id.Refresh == nil {
		t.Fatalf("got %+v, %v, want a refresh token", id, err)
	}
	for raw := range p.live {
		if strings.Contains(string(id.Refresh), raw) {
			t.Error("the refresh token can be read")
		}
	}
	if err := s.ps["one"].Keep(t.Context(), "s", oidc.Overdue(s.ps["one"], id.Refresh)); err != nil {
		t.Fatal(err)
	}
	p.tokens = 0
	return p, s, d
}

// TestOfManyOneRefreshes is what rotating refresh tokens demand: the second
// use of one is taken for a theft, and everybody is signed out at random.
func TestOfManyOneRefreshes(t *testing.T) {
	p, s, d := renewing(t)
	p.slow = 100 * time.Millisecond
	for round := range 3 {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if alive, err := s.ps["one"].Renew(t.Context(), "s"); !alive || err != nil {
					t.Errorf("got %t, %v, want a session that lives", alive, err)
				}
			})
		}
		all.Wait()
		if p.tokens != round+1 {
			t.Fatalf("50 callers made %d requests in round %d, want one", p.tokens-round, round)
		}
		d.at["s"] = oidc.Overdue(s.ps["one"], d.at["s"])
	}
	if d.ended != 0 {
		t.Errorf("ended %d sessions, want none", d.ended)
	}
}

func TestASessionEndsWhenTheProviderSaysSoAndThenOnly(t *testing.T) {
	for _, c := range []struct {
		name  string
		tell  func(*provider)
		alive bool
		want  oidc.Reason
	}{
		{"all is well", func(*provider) {}, true, "<nil>"},
		{"invalid_grant", func(p *provider) { p.live = nil }, false, oidc.Declined},
		{"the provider is down", func(p *provider) { p.down = true }, true, oidc.Unavailable},
		{"no ID token this time", func(p *provider) { p.reply = func(o object) { o["id_token"] = nil } }, true, "<nil>"},
		{"another person", claims(object{"sub": "eve"}), false, oidc.Token},
		{"another's signature", func(p *provider) { p.sign = es256(foreign) }, false, oidc.Token},
		{"no more of the company", claims(object{"email_verified": false}), false, oidc.Stranger},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, s, d := renewing(t)
			c.tell(p)
			alive, err := s.ps["one"].Renew(t.Context(), "s")
			if alive != c.alive || reason(err) != c.want || (d.ended == 0) != c.alive {
				t.Errorf("got %t, %v, %d ended, want %t with reason %s", alive, err, d.ended, c.alive, c.want)
			}
			before := p.tokens
			for range 20 {
				s.ps["one"].Renew(t.Context(), "s")
			}
			if p.tokens != before {
				t.Errorf("asked %d times more at once, want a rest", p.tokens-before)
			}
		})
	}
}
