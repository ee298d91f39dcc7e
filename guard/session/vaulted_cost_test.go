package session_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session"
)

// BenchmarkVault is what a request costs with an app's session in the vault,
// beside the same through httputil.ReverseProxy alone to a handler next door.
func BenchmarkVault(b *testing.B) {
	sets := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "connect.sid=s%3A6wSmL9TbkNOuIynBu09krghXPH8BPowy.yOjs5cNvxkYrC9FGMOGrNsen8hKbxC; Path=/; HttpOnly")
	}
	room, err := session.New(session.Config{}, session.Options{})
	if err != nil {
		b.Fatal(err)
	}
	x := guard.Exchange{Route: &guard.Route{Site: "app.test"}, Secure: true, Client: netip.MustParseAddr("192.0.2.7")}
	through := func(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
		one, w := x, httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(guard.With(r.Context(), &one)))
		return w
	}
	first := through(room.Load(room.Vault(http.HandlerFunc(sets))), httptest.NewRequest("GET", "https://app.test/", nil))
	id := first.Result().Cookies()[0].Value
	request := func() *http.Request {
		r := httptest.NewRequest("GET", "https://app.test/", nil)
		r.Header.Set("Cookie", ours+"="+id+"; theme=dark; XSRF-TOKEN=abcdef")
		return r
	}
	none := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	upstream := httptest.NewServer(none)
	defer upstream.Close()
	to, err := url.Parse(upstream.URL)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		h    http.Handler
	}{
		{"nothing", none},
		{"load", room.Load(none)},
		{"load and vault", room.Load(room.Vault(none))},
		{"rolling", room.Load(room.Vault(http.HandlerFunc(sets)))},
		{"ReverseProxy", httputil.NewSingleHostReverseProxy(to)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				through(c.h, request())
			}
		})
	}
}
