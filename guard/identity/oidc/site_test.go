package oidc_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/identity/oidc"
)

// site is a gate as the room makes one of the providers that it is given.
type site struct {
	*httptest.Server
	ps map[string]*oidc.Provider
	// id, to and err are of the last callback.
	mu     sync.Mutex
	id     oidc.Identity
	to     string
	err    error
	events []oidc.Event
}

func newSite(t testing.TB, o oidc.Options, configs ...oidc.Config) *site {
	t.Helper()
	s := &site{ps: map[string]*oidc.Provider{}}
	if o.Key == nil {
		o.Key = make([]byte, 32)
	}
	for _, c := range configs {
		p, err := oidc.New(c, o)
		if err != nil {
			t.Fatal(err)
		}
		s.ps[c.Name] = p
	}
	mux := http.NewServeMux()
	begin := func(f func(*oidc.Provider, *http.Request) (string, []*http.Cookie, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			to, cookies, err := f(s.ps[r.PathValue("name")], r)
			for _, c := range cookies {
				http.SetCookie(w, c)
			}
			s.say(oidc.Identity{}, "", err)
			if err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			http.Redirect(w, r, to, http.StatusSeeOther)
		}
	}
	mux.HandleFunc("GET /.hauberk/oidc/{name}", begin(func(p *oidc.Provider, r *http.Request) (string, []*http.Cookie, error) {
		return p.Start(r, r.URL.Query().Get("to"))
	}))
	mux.HandleFunc("GET /again/{name}", begin(func(p *oidc.Provider, r *http.Request) (string, []*http.Cookie, error) {
		return p.Again(r, "/")
	}))
	mux.HandleFunc("GET /.hauberk/oidc/{name}/callback", func(w http.ResponseWriter, r *http.Request) {
		id, to, end, err := s.ps[r.PathValue("name")].Finish(r.Context(), r)
		if end != nil {
			http.SetCookie(w, end)
		}
		s.say(id, to, err)
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	mux.HandleFunc("POST /.hauberk/oidc/{name}/logout", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		e, err := s.ps[r.PathValue("name")].Logout(r.Context(), r.PostForm)
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.err, s.events = err, append(s.events, e)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *site) say(id oidc.Identity, to string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.to, s.err = id, to, err
}

func browser() *http.Client {
	return &http.Client{Jar: must(cookiejar.New(nil)), Timeout: 20 * time.Second}
}

// visit follows a browser to the end of a sign-in.
func (s *site) visit(t testing.TB, b *http.Client, path string) (oidc.Identity, string, error) {
	t.Helper()
	res, err := b.Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id, s.to, s.err
}
