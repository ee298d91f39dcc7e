package bench_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/identity"
	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/assertion"
	"hauberk.dev/guard/session"
	"hauberk.dev/store"
	"hauberk.dev/store/sqlite"
)

const shop = "shop.example.com"

func records(tb testing.TB, engine string) store.Records {
	if engine == "memory" {
		return store.NewRecords()
	}
	d, err := sqlite.Open(filepath.Join(tb.TempDir(), "h.db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close() })
	return d.Store().Records
}

// signedIn is the rooms that know who asks and decide, with n rules, of which
// the last lets the request in, and that request with the cookie of a session.
func signedIn(tb testing.TB, engine, allow string, n int) func() {
	rec := records(tb, engine)
	sessions, err := session.New(session.Config{}, session.Options{Records: rec})
	if err != nil {
		tb.Fatal(err)
	}
	who, err := identity.New(identity.Config{}, identity.Options{Records: rec, Sessions: identity.Sessions{Begin: sessions.Begin}})
	if err != nil {
		tb.Fatal(err)
	}
	a, err := account.NewBook(rec).Add(context.Background(), account.Account{ID: account.PasswordID("alice"), Name: "alice", Roles: []string{"editor", "last"}})
	if err != nil {
		tb.Fatal(err)
	}
	rules := make([]access.Rule, n)
	for i := range rules {
		rules[i] = access.Rule{On: fmt.Sprintf("/app-%d/{id}", i), Allow: []string{strings.Replace(allow, "N", fmt.Sprint("role-", i), 1)}}
	}
	rules[n-1].Allow[0] = strings.Replace(allow, "N", "last", 1)
	may := access.New()
	if err := may.Site(shop, access.Config{Rules: rules}, nil); err != nil {
		tb.Fatal(err)
	}
	sessions.StrictFor(func(r *http.Request) bool { return may.AsksRole(guard.From(r.Context())) })

	client := netip.MustParseAddr("192.0.2.1")
	route := &guard.Route{N: 1, Site: shop}
	exchange := func() *guard.Exchange {
		return &guard.Exchange{Route: route, Secure: true, Client: client, Method: "GET", Resource: &guard.Resource{
			Site: shop, On: rules[n-1].On, Rule: n - 1, Values: map[string]string{"id": a.ID}, Method: "GET"}}
	}
	begin := sessions.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		err = sessions.Begin(r, guard.Grant{User: a.ID, Epoch: a.Epoch, Rights: a.Rights(), Methods: []string{"pwd"}, At: time.Now()})
	}))
	in := httptest.NewRecorder()
	r := request(tb)
	r.Header.Del("Cookie")
	begin.ServeHTTP(in, r.WithContext(guard.With(context.Background(), exchange())))
	if err != nil {
		tb.Fatal(err)
	}
	cookie := in.Result().Cookies()[0]
	r.Header.Set("Cookie", "theme=dark; "+cookie.Name+"="+cookie.Value)
	x := exchange()
	r = r.WithContext(guard.With(context.Background(), x))
	reached := false
	h := sessions.Load(who.Know(may.Check(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))))
	return func() {
		x.Session, x.Subject, reached = nil, nil, false
		h.ServeHTTP(&sink{h: http.Header{}}, r)
		if !reached {
			tb.Fatal("got a refusal, want to be let in")
		}
	}
}

// loop measures one call.
func loop(f func()) func(*testing.B) {
	return func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f()
		}
	}
}

// rounds measures each in turn, several times, and returns what each cost in
// each round: what else the machine does meets neighbours alike.
func rounds(all ...func(*testing.B)) (times [][]float64) {
	for range 15 {
		var one []float64
		for _, f := range all {
			one = append(one, ns(testing.Benchmark(f)))
		}
		times = append(times, one)
	}
	return times
}

// median is that of what of makes of each round.
func median(times [][]float64, of func(t []float64) float64) float64 {
	var all []float64
	for _, t := range times {
		all = append(all, of(t))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// brief makes testing.Benchmark end sooner, since much is measured in turn.
func brief(t *testing.T) {
	before := flag.Lookup("test.benchtime").Value.String()
	if err := flag.Lookup("test.benchtime").Value.Set("50ms"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Lookup("test.benchtime").Value.Set(before) })
}

// tries is how often a ratio is taken that may have met a noisy neighbour.
const tries = 3

// TestSessionAndDecisionCostLessThanASixthOfReverseProxy measures what the
// rooms add to a request of somebody who has signed in, by themselves around an
// app that does nothing: the cookie is read, the session and the account come
// from the read caches, and one of n rules lets the request in.
func TestSessionAndDecisionCostLessThanASixthOfReverseProxy(t *testing.T) {
	quiet(t)
	brief(t)
	through := BenchmarkReverseProxy
	for _, engine := range []string{"memory", "sqlite"} {
		for _, allow := range []string{"role:N", "owner:id"} {
			t.Run(engine+" "+allow, func(t *testing.T) {
				few, lots := loop(signedIn(t, engine, allow, 10)), loop(signedIn(t, engine, allow, 1000))
				for try := 1; ; try++ {
					all := rounds(few, lots, through, BenchmarkNothing)
					scale := median(all, func(t []float64) float64 { return t[1] / t[0] })
					least := median(all, func(t []float64) float64 { return t[0] / (t[2] - t[3]) })
					most := median(all, func(t []float64) float64 { return t[1] / (t[2] - t[3]) })
					t.Logf("10 rules %.0f ns; 1,000 rules %.2f times that; %.3f and %.3f of ReverseProxy", median(all, func(t []float64) float64 { return t[0] }), scale, least, most)
					if scale <= 1.5 && max(least, most) < 1.0/6 {
						return
					}
					if try == tries {
						t.Fatalf("got %.2f times and %.3f of ReverseProxy, want at most 1.5 and under a sixth", scale, max(least, most))
					}
				}
			})
		}
	}
}

// TestTheAssertionCostsLessThanTwoSignatures holds what tells the app who asks
// against one bare ES256 signature: for a request whose token is made anew, and
// for one that may have the same token again.
func TestTheAssertionCostsLessThanTwoSignatures(t *testing.T) {
	quiet(t)
	brief(t)
	keys, err := assertion.Open("")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("what is signed"))
	bare := loop(func() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, sum[:]); err != nil {
			t.Fatal(err)
		}
	})
	signer := &assertion.Signer{Keys: keys}
	sign := func(again bool) func(*testing.B) {
		return loop(func() {
			_, err := signer.Sign(&assertion.Claims{
				Issuer: "https://" + shop, Audience: "http://127.0.0.1:3000", Host: shop, Method: "GET", Target: "/notes?page=2", Body: assertion.None, Again: again,
				Subject: &guard.Subject{ID: "u_abcdefghijklmnopqrstuvwxyz", Name: "alice", Roles: []string{"editor", "reader"}, Methods: []string{"pwd"}, Since: time.Unix(1_800_000_000, 0)}, Session: "abcdefghijklmnopqrstuvwxyz",
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	for try := 1; ; try++ {
		all := rounds(bare, sign(false), sign(true))
		anew := median(all, func(t []float64) float64 { return t[1] / t[0] })
		kept := median(all, func(t []float64) float64 { return t[2] / t[0] })
		t.Logf("a signature %.0f ns; an assertion made anew %.2f times that, one again %.3f times", median(all, func(t []float64) float64 { return t[0] }), anew, kept)
		if anew < 2 && kept < 0.5 {
			return
		}
		if try == tries {
			t.Fatalf("got %.2f and %.2f signatures, want under 2 and under a half", anew, kept)
		}
	}
}
