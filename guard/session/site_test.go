package session_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session"
)

// site is an app behind the room, with pages that do what room identity does.
type site struct {
	*httptest.Server
	room   *session.Room
	chain  http.Handler
	clear  bool // without TLS
	mu     sync.Mutex
	events []guard.Event
	seen   []http.Header
	during func(*http.Request) // called by /during, between load and the change
	client netip.Addr
}

func newSite(t testing.TB, c session.Config, o session.Options) *site {
	t.Helper()
	s := &site{client: netip.MustParseAddr("192.0.2.7")}
	if o.Record == nil {
		o.Record = s.record
	}
	room, err := session.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	s.use(room)
	return s
}

func (s *site) use(room *session.Room) {
	s.room = room
	s.chain = room.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.page(w, r) {
			room.Vault(http.HandlerFunc(s.app)).ServeHTTP(w, r)
		}
	}))
}

func (s *site) record(e guard.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &guard.Exchange{ID: "1", Route: &guard.Route{}, Client: s.client, Secure: !s.clear, Sink: s.record}
	s.chain.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
}

// page is what rooms inside this one do.
func (s *site) page(w http.ResponseWriter, r *http.Request) bool {
	x := guard.From(r.Context())
	q := r.URL.Query()
	var err error
	switch r.URL.Path {
	case "/begin", "/begin-and-refuse":
		g := guard.Grant{User: q.Get("user"), Epoch: 1, At: time.Now(), Issuer: q.Get("iss"), SID: q.Get("sid"), Subject: q.Get("sub")}
		if s.during != nil {
			s.during(r)
		}
		err = s.room.Begin(r, g)
		if err == nil && r.URL.Path == "/begin-and-refuse" {
			err = (&guard.Rule{ID: "test.refused", Status: 403, Title: "no"}).Deny("no")
		}
	case "/rotate":
		if s.during != nil {
			s.during(r)
		}
		err = x.Session.Rotate(r.Context())
	case "/rotate-at-once":
		err = session.RotateAtOnce(r)
	case "/out":
		err = s.room.SignOut(r)
	case "/vault":
		text, e := session.VaultOf(r)
		if e != nil {
			guard.Refuse(w, r, e)
			return true
		}
		w.Write(text)
		return true
	case "/keep":
		if s.during != nil {
			s.during(r)
		}
		var kept bool
		kept, err = s.room.ChangeVault(r, func(old []byte) ([]byte, error) { return append(old[:len(old):len(old)], q.Get("v")...), nil })
		if !kept && err == nil {
			io.WriteString(w, "dropped")
			return true
		}
	default:
		return false
	}
	if err != nil {
		guard.Refuse(w, r, err)
		return true
	}
	io.WriteString(w, who(r))
	return true
}

// who is the user of a request, or what it is.
func who(r *http.Request) string {
	x := guard.From(r.Context())
	if x.Session == nil {
		return "none"
	}
	if g, ok := x.Session.Grant(); ok {
		return g.User
	}
	if x.Session.ID() == "" {
		return "dead"
	}
	return "nobody"
}

func (s *site) app(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Header.Clone())
	s.mu.Unlock()
	io.WriteString(w, who(r))
}

// start serves it on a socket.
func (s *site) start(t testing.TB) *site {
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// browser has one cookie.
type browser struct {
	s      *site
	cookie string
	last   *http.Response
}

const name = "__Host-Http-hauberk"

// get asks and keeps the cookie that comes back; it returns the body.
func (b *browser) get(t testing.TB, target string, headers ...string) string {
	t.Helper()
	r, err := http.NewRequest("GET", "http://app.test"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.cookie != "" {
		r.Header.Set("Cookie", name+"="+b.cookie)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if b.s.Server == nil {
		w := httptest.NewRecorder()
		b.s.ServeHTTP(w, r)
		b.last = w.Result()
	} else {
		r.URL.Host, r.Host = b.s.Listener.Addr().String(), "app.test"
		if b.last, err = http.DefaultTransport.RoundTrip(r); err != nil {
			t.Fatal(err)
		}
	}
	defer b.last.Body.Close()
	body, err := io.ReadAll(b.last.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.last.Cookies() {
		if c.Name == name {
			b.cookie = c.Value
		}
	}
	return string(body)
}

func (b *browser) wants(t testing.TB, target, want string, headers ...string) {
	t.Helper()
	if got := b.get(t, target, headers...); got != want {
		t.Errorf("%s: got %d %q, want %q", target, b.last.StatusCode, got, want)
	}
}

func (s *site) ruled(rule string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.events {
		if e.Rule.ID == rule {
			n++
		}
	}
	return n
}

func (s *site) browser() *browser { return &browser{s: s} }
