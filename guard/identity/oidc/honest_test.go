package oidc_test

import (
	"bufio"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/identity/oidc"
	"hauberk.dev/guard/identity/token"
)

// honest starts oidc-provider of npm, a certified provider, for a gate.
func honest(t *testing.T, gate string, more ...string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "e2e", "oidc")
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing: run make tools")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		t.Skip("oidc-provider is missing: run tools/npm.sh e2e/oidc")
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"provider.mjs", gate}, more...)...)
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	issuer, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the provider does not start: ", err)
	}
	return strings.TrimSpace(issuer)
}

var (
	action = regexp.MustCompile(`action="([^"]+)"`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]+)"`)
)

// fill sends the form of a page, as long as there is one, with what a person
// would write into it.
func fill(t *testing.T, b *http.Client, at string, person url.Values) {
	t.Helper()
	res, err := b.Get(at)
	for range 6 {
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(res.Body)
		res.Body.Close()
		to := action.FindSubmatch(page)
		if to == nil {
			return
		}
		form := url.Values{}
		for name, values := range person {
			form[name] = values
		}
		for _, h := range hidden.FindAllSubmatch(page, -1) {
			form.Set(string(h[1]), html.UnescapeString(string(h[2])))
		}
		next, bad := res.Request.URL.Parse(html.UnescapeString(string(to[1])))
		if bad != nil {
			t.Fatal(bad)
		}
		res, err = b.PostForm(next.String(), form)
	}
	t.Fatal("the forms do not end")
}

// TestAnHonestProvider signs in, refreshes and signs out with oidc-provider,
// which sends its back-channel logout to the gate by itself.
func TestAnHonestProvider(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts node")
	}
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			d := &drawer{at: map[string][]byte{}}
			o := oidc.Options{Keeper: d, Key: make([]byte, 32)}
			s := newSite(t, o)
			issuer := honest(t, s.URL, alg)
			p, err := oidc.New(oidc.Config{Name: "one", Issuer: issuer, ClientID: "gate", ClientSecret: clientSecret, Refresh: true,
				Allow: token.Match{"email_domain": {"example.com"}}, Roles: map[string]token.Match{"admin": {"email": {"ann@example.com"}}}}, o)
			if err != nil {
				t.Fatal(err)
			}
			s.ps["one"] = p
			b := browser()
			fill(t, b, s.URL+"/.hauberk/oidc/one?to=/orders", url.Values{"login": {"ann"}, "password": {"x"}})
			if s.err != nil || s.to != "/orders" || s.id.Issuer != issuer || s.id.Subject != "ann" || !s.id.EmailVerified || len(s.id.Roles) != 1 || s.id.SID == "" {
				t.Fatalf("got %+v, to %q, %v", s.id, s.to, s.err)
			}
			t.Run("proves it anew", func(t *testing.T) {
				fill(t, b, s.URL+"/again/one", url.Values{"login": {"ann"}, "password": {"x"}})
				if s.err != nil || s.id.Subject != "ann" || !s.id.Fresh {
					t.Errorf("got %+v, %v", s.id, s.err)
				}
			})
			if s.id.Refresh == nil {
				// The second sign-in asked for no consent, so it gave no token.
				fill(t, b, s.URL+"/.hauberk/oidc/one", url.Values{"login": {"ann"}, "password": {"x"}})
			}
			sid := s.id.SID
			if err := p.Keep(t.Context(), "s", s.id.Refresh); err != nil || s.id.Refresh == nil {
				t.Fatalf("got refresh token %v, %v", s.id.Refresh, err)
			}
			for range 3 {
				d.at["s"] = oidc.Overdue(p, d.at["s"])
				var all sync.WaitGroup
				for range 50 {
					all.Go(func() {
						if alive, err := p.Renew(t.Context(), "s"); !alive || err != nil {
							t.Errorf("refresh: got %t, %v", alive, err)
						}
					})
				}
				all.Wait()
			}
			end, ok := p.EndSession(t.Context(), s.URL+"/")
			if !ok {
				t.Fatal("the provider has no place to sign out")
			}
			fill(t, b, end, url.Values{"logout": {"yes"}})
			for range 50 {
				s.mu.Lock()
				n := len(s.events)
				s.mu.Unlock()
				if n > 0 {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.events) != 1 || s.err != nil || s.events[0] != (oidc.Event{Issuer: issuer, Subject: "ann", SID: sid}) {
				t.Errorf("got logouts %+v, %v, want the one of %s", s.events, s.err, sid)
			}
		})
	}
}
