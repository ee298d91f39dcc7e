package identity_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity"
	"hauberk.dev/internal/gateway"
	"hauberk.dev/store"
)

// visits is the least that room session is to identity: grants by an id, which
// the tests send in a header of their own.
type visits struct {
	mu   sync.Mutex
	all  map[string]guard.Grant
	made int
}

type visit struct {
	v  *visits
	id string
}

func (s *visit) ID() string { return s.id }

func (s *visit) Grant() (guard.Grant, bool) {
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	g, ok := s.v.all[s.id]
	return g, ok
}

func (s *visit) Rotate(context.Context) error { return nil }

func (s *visit) Derive(label string) [32]byte { return sha256.Sum256([]byte(s.id + label)) }

func (v *visits) begin(g guard.Grant) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.made++
	id := fmt.Sprint("s", v.made)
	v.all[id] = g
	return id
}

func (v *visits) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.all)
}

func (v *visits) sessions() identity.Sessions {
	drop := func(gone func(id string, g guard.Grant) bool) int {
		v.mu.Lock()
		defer v.mu.Unlock()
		n := 0
		for id, g := range v.all {
			if gone(id, g) {
				delete(v.all, id)
				n++
			}
		}
		return n
	}
	return identity.Sessions{
		Begin: func(r *http.Request, g guard.Grant) error {
			x := guard.From(r.Context())
			if s, ok := x.Session.(*visit); ok {
				drop(func(id string, _ guard.Grant) bool { return id == s.id })
			}
			x.Session = &visit{v, v.begin(g)}
			return nil
		},
		SignOut: func(r *http.Request) error { return nil },
		List: func(_ context.Context, user string) ([]identity.Visit, error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			var list []identity.Visit
			for id, g := range v.all {
				if g.User == user {
					list = append(list, identity.Visit{ID: id, User: user})
				}
			}
			return list, nil
		},
		End: func(_ context.Context, user, want string) (bool, error) {
			return drop(func(id string, g guard.Grant) bool { return id == want && g.User == user }) > 0, nil
		},
		EndAll: func(_ context.Context, user, but string) (int, error) {
			return drop(func(id string, g guard.Grant) bool { return id != but && g.User == user }), nil
		},
		EndOIDC: func(_ context.Context, issuer, sid, subject string) (int, error) { return 0, nil },
	}
}

// bench is the room between a client and an app, on real sockets.
type bench struct {
	*identity.Room
	*httptest.Server
	app    net.Listener
	visits *visits
	chain  http.Handler
	mu     sync.Mutex
	heads  []string
	bodies []string
	events []guard.Event
}

func open(t testing.TB, c identity.Config, o identity.Options) *bench {
	t.Helper()
	g := &bench{visits: &visits{all: map[string]guard.Grant{}}}
	o.Sessions = g.visits.sessions()
	if o.Records == nil {
		o.Records = store.NewRecords()
	}
	o.Record = g.record
	if o.URL == "" {
		o.URL = "https://own.test"
	}
	g.app = upstream(t, g)
	o.Upstream = func(int) string { return "http://" + g.app.Addr().String() }
	room, err := identity.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	g.Room = room
	up, err := gateway.New(gateway.Options{Upstreams: []string{"", "http://" + g.app.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	g.chain = room.Know(room.Pages(room.Assert(up)))
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &guard.Exchange{ID: "x", Method: r.Method, Route: &guard.Route{N: 1, Site: "own.test"}, Secure: true, Sink: g.record}
		x.Client = netip.MustParseAddrPort(r.RemoteAddr).Addr()
		if id := r.Header.Get("X-Test-Session"); id != "" {
			x.Session = &visit{g.visits, id}
		}
		g.chain.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *bench) record(e guard.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
}

// last returns the last event, and forgets all.
func (g *bench) last() guard.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.events) == 0 {
		return guard.Event{Rule: &guard.Rule{}}
	}
	e := g.events[len(g.events)-1]
	g.events = nil
	return e
}

// upstream keeps what came, as it came.
func upstream(t testing.TB, g *bench) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go g.hear(c)
		}
	}()
	return l
}

func (g *bench) hear(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	var head bytes.Buffer
	for !bytes.HasSuffix(head.Bytes(), []byte("\r\n\r\n")) {
		b, err := in.ReadByte()
		if err != nil {
			return
		}
		head.WriteByte(b)
	}
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(head.Bytes()), in)))
	if err != nil {
		return
	}
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	g.heads, g.bodies = append(g.heads, head.String()), append(g.bodies, string(body))
	g.mu.Unlock()
	io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

// seen returns the one request that the app got since the last look.
func (g *bench) seen(t testing.TB) (line, token, body string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.heads) != 1 {
		t.Fatalf("got %d requests at the app, want 1", len(g.heads))
	}
	lines := strings.Split(g.heads[0], "\r\n")
	body = g.bodies[0]
	g.heads, g.bodies = nil, nil
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ": ")
		if strings.EqualFold(strings.NewReplacer("_", "-", ".", "-").Replace(name), "Hauberk-Identity") {
			if token != "" {
				t.Errorf("got two assertions in %q", lines)
			}
			token = value
		}
	}
	return lines[0], token, body
}

// claims verifies a token by the published keys, and returns what it says.
func (g *bench) claims(t testing.TB, token string) (head, claims map[string]any) {
	t.Helper()
	a, err := http.Get(g.URL + "/.hauberk/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	var set struct{ Keys []struct{ Kid, X, Y string } }
	if err := json.NewDecoder(a.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("got %q, want a token", token)
	}
	raw := make([][]byte, 3)
	for i := range parts {
		raw[i], _ = base64.RawURLEncoding.DecodeString(parts[i])
	}
	json.Unmarshal(raw[0], &head)
	if err := json.Unmarshal(raw[1], &claims); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if k.Kid != head["kid"] {
			continue
		}
		x, _ := base64.RawURLEncoding.DecodeString(k.X)
		y, _ := base64.RawURLEncoding.DecodeString(k.Y)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])) {
			t.Fatal("the signature does not verify")
		}
		return head, claims
	}
	t.Fatalf("no key %v is published", head["kid"])
	return nil, nil
}

// raw sends bytes and returns the answer.
func (g *bench) raw(t testing.TB, text string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", g.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, text)
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, _ := io.ReadAll(a.Body)
	return a, string(body)
}

// admin asks the administration, and decodes the answer.
func (g *bench) admin(t testing.TB, line, body string) (int, map[string]any) {
	t.Helper()
	method, path, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	g.Admin().ServeHTTP(w, r)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%s: got %q, want JSON", line, w.Body)
	}
	return w.Code, got
}

// add makes an account and a session of it.
func (g *bench) add(t testing.TB, name string, roles ...string) (id, session string) {
	t.Helper()
	list, _ := json.Marshal(roles)
	code, got := g.admin(t, "POST /users/add", fmt.Sprintf(`{"user":%q,"roles":%s}`, name, list))
	if code != 200 {
		t.Fatalf("got %d %v, want the account", code, got)
	}
	id = got["id"].(string)
	return id, g.signIn(t, id)
}

// signIn makes a session by what the gate itself would grant.
func (g *bench) signIn(t testing.TB, id string) string {
	t.Helper()
	return g.visits.begin(grantOf(t, g.Room, id))
}
