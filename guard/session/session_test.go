package session_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/session"
	"hauberk.dev/store"
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
	case "/out":
		err = s.room.SignOut(r)
	case "/vault":
		text, e := session.VaultOf(r)
		err = e
		io.WriteString(w, string(text))
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

func TestTheCookieIsBoundToTheHostAndScriptsCannotReadIt(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.wants(t, "/begin?user=u_a", "u_a")
	got := b.last.Header.Get("Set-Cookie")
	if want := name + "=" + b.cookie + "; Path=/; HttpOnly; SameSite=Lax; Secure"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(b.cookie); err != nil || len(raw) != 32 {
		t.Errorf("got the id %q (%v), want 256 bits", b.cookie, err)
	}
	if got := b.last.Header.Get("Cache-Control"); got != "private, no-store" {
		t.Errorf("got Cache-Control %q, want private, no-store", got)
	}
	if got := b.last.Header.Get("Vary"); got != "Cookie" {
		t.Errorf("got Vary %q, want Cookie", got)
	}
	b.wants(t, "/", "u_a")
	if got := b.last.Header.Get("Set-Cookie"); got != "" {
		t.Errorf("got %q with an answer that changes nothing", got)
	}
	s.clear = true
	b.wants(t, "/", "none") // the prefix means nothing here
	clear := s.browser()
	clear.get(t, "/begin?user=u_a")
	got = clear.last.Header.Get("Set-Cookie")
	if !strings.HasPrefix(got, "hauberk=") || strings.Contains(got, "Secure") || !strings.Contains(got, "HttpOnly") {
		t.Errorf("in clear text: got %q", got)
	}
	value, _, _ := strings.Cut(strings.TrimPrefix(got, "hauberk="), ";")
	clear.wants(t, "/", "u_a", "Cookie", "hauberk="+value)
}

func TestTheCookieLeavesWithRefusalsToo(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/begin-and-refuse?user=u_a")
	if b.last.StatusCode != 403 || b.cookie == "" {
		t.Errorf("got %d and the cookie %q, want 403 and one", b.last.StatusCode, b.cookie)
	}
	b.wants(t, "/", "u_a")
}

func TestOurCookieNeverGoesUp(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	for _, c := range []struct{ sent, want string }{
		{name + "=" + b.cookie, ""},
		{"a=1; " + name + "=" + b.cookie + "; b=2", "a=1; b=2"},
		{name + "=x;" + name + "=" + b.cookie + ";hauberk=1; hauberk2=2", "hauberk2=2"},
		{"a=hauberk", "a=hauberk"},
	} {
		s.seen = nil
		(&browser{s: s}).get(t, "/", "Cookie", c.sent)
		if got := s.seen[0].Get("Cookie"); got != c.want {
			t.Errorf("%q: got %q, want %q", c.sent, got, c.want)
		}
	}
}

func TestACookieThatIsNoIDIsNoSession(t *testing.T) {
	records := store.NewRecords()
	s := newSite(t, session.Config{}, session.Options{Records: records}).start(t)
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	id := b.cookie
	for _, c := range []struct{ what, cookie, want, rule string }{
		{"as given", name + "=" + id, "u_a", ""},
		{"with blanks around it", "a=1 ;\t" + name + " = " + id + " ", "u_a", ""},
		{"twice", name + "=" + id + "; " + name + "=" + id, "none", "session.doubled-cookie"},
		{"twice, once bad", name + "=x; " + name + "=" + id, "none", "session.doubled-cookie"},
		{"short", name + "=" + id[1:], "none", "session.malformed-cookie"},
		{"long", name + "=" + id + "A", "none", "session.malformed-cookie"},
		{"padded", name + "=" + id + "=", "none", "session.malformed-cookie"},
		{"quoted", name + `="` + id + `"`, "none", "session.malformed-cookie"},
		{"empty", name + "=", "none", "session.malformed-cookie"},
		{"another name", name + "x=" + id, "none", ""},
		{"another case", strings.ToLower(name) + "=" + id, "none", ""},
		{"the name for clear text", "hauberk=" + id, "none", ""},
	} {
		s := newSite(t, session.Config{}, session.Options{Records: records}).start(t)
		(&browser{s: s}).wants(t, "/", c.want, "Cookie", c.cookie)
		n := s.ruled("session.doubled-cookie") + s.ruled("session.malformed-cookie")
		if c.rule == "" && n != 0 || c.rule != "" && (n != 1 || s.ruled(c.rule) != 1) {
			t.Errorf("%s: got %d events, want one of %q", c.what, n, c.rule)
		}
	}
	for range 20 {
		(&browser{s: s}).get(t, "/", "Cookie", name+"=x")
	}
	if got := s.ruled("session.malformed-cookie"); got != 1 {
		t.Errorf("got %d events in a minute, want 1", got)
	}
}

func TestTheStoreHasOnlyTheHash(t *testing.T) {
	records := store.NewRecords()
	s := newSite(t, session.Config{}, session.Options{Records: records}).start(t)
	b := s.browser()
	b.get(t, "/keep?v=secret-cookie")
	b.get(t, "/begin?user=u_a")
	raw, _ := base64.RawURLEncoding.DecodeString(b.cookie)
	all, err := records.List(context.Background(), "", "", 100)
	if err != nil || len(all) < 3 {
		t.Fatalf("got %d records (%v)", len(all), err)
	}
	for _, r := range all {
		for what, text := range map[string]string{"id": b.cookie, "raw id": string(raw), "cookie of the app": "secret-cookie"} {
			if strings.Contains(r.Key+string(r.Value), text) {
				t.Errorf("%s: has the %s", r.Key, what)
			}
		}
	}
	b.wants(t, "/vault", "secret-cookie")
}

func TestAFixedIDIsDeadWhenSomebodySignsIn(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	made := s.browser()
	made.cookie = base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	made.wants(t, "/", "none")
	made.get(t, "/keep?v=x") // an id is never taken from a client
	if made.cookie == base64.RawURLEncoding.EncodeToString(make([]byte, 32)) {
		t.Error("an id that a client made up became a session")
	}

	attacker, victim := s.browser(), s.browser()
	attacker.get(t, "/keep?v=a")
	victim.cookie = attacker.cookie
	victim.wants(t, "/begin?user=u_victim", "u_victim")
	if victim.cookie == attacker.cookie {
		t.Fatal("the id stayed")
	}
	victim.wants(t, "/", "u_victim")
	fixed := attacker.cookie
	attacker.wants(t, "/", "nobody")
	attacker.wants(t, "/vault", "a")
	if attacker.cookie != fixed {
		t.Error("the old id was given the new one")
	}
	// Who signs in with the old id gets a session of its own, with what the old
	// id could see, and nothing of the victim's.
	victim.get(t, "/keep?v=b")
	attacker.wants(t, "/begin?user=u_attacker", "u_attacker")
	attacker.wants(t, "/vault", "a")
	victim.wants(t, "/", "u_victim")
	victim.wants(t, "/vault", "ab")
}

func TestTheVaultDoesNotGoToAnotherUser(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	b.get(t, "/keep?v=of-a")
	b.get(t, "/begin?user=u_a")
	b.wants(t, "/vault", "of-a")
	b.get(t, "/begin?user=u_b")
	b.wants(t, "/vault", "")
}

func TestSignOutEndsItForGood(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	old := b.cookie
	b.wants(t, "/out", "dead")
	if got, want := b.last.Header.Get("Clear-Site-Data"), `"cache", "cookies", "storage"`; got != want {
		t.Errorf("got Clear-Site-Data %q, want %q", got, want)
	}
	if got := b.last.Header.Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") {
		t.Errorf("got %q, want the cookie taken away", got)
	}
	b.cookie = old
	b.wants(t, "/", "none")
	if got, _ := s.room.List(t.Context(), "u_a"); len(got) != 0 {
		t.Errorf("got %d sessions in the list, want none", len(got))
	}
}

func TestListsAndEndsTakeEffectOnTheNextRequest(t *testing.T) {
	s := newSite(t, session.Config{PerUser: 3}, session.Options{}).start(t)
	var all []*browser
	for range 4 {
		b := s.browser()
		b.get(t, "/begin?user=u_a", "User-Agent", "Agent\t7")
		all = append(all, b)
		time.Sleep(2 * time.Millisecond)
	}
	other := s.browser()
	other.get(t, "/begin?user=u_b")
	all[0].wants(t, "/", "none")
	if got := s.ruled("session.too-many"); got != 1 {
		t.Errorf("got %d events of session.too-many, want 1", got)
	}
	list, err := s.room.List(t.Context(), "u_a")
	if err != nil || len(list) != 3 {
		t.Fatalf("got %d sessions (%v), want 3", len(list), err)
	}
	if i := list[0]; i.Client != "192.0.2.7" || i.Device != "Agent7" || !i.Began.After(list[1].Began) {
		t.Errorf("got %+v first", i)
	}
	if done, err := s.room.End(t.Context(), "u_b", list[0].ID); done || err != nil {
		t.Errorf("another user's session: got %v (%v), want false", done, err)
	}
	if done, err := s.room.End(t.Context(), "u_a", list[0].ID); !done || err != nil {
		t.Errorf("got %v (%v), want true", done, err)
	}
	all[3].wants(t, "/", "none")
	if n, err := s.room.EndAll(t.Context(), "u_a", list[1].ID); n != 1 || err != nil {
		t.Errorf("all others: got %d (%v), want 1", n, err)
	}
	all[2].wants(t, "/", "u_a")
	all[1].wants(t, "/", "none")
	if n, err := s.room.EndAll(t.Context(), "u_a", ""); n != 1 || err != nil {
		t.Errorf("got %d (%v), want 1", n, err)
	}
	all[2].wants(t, "/", "none")
	other.wants(t, "/", "u_b")
}

func TestAProviderEndsTheSessionsThatItNames(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	begin := func(user, iss, sid, sub string) *browser {
		b := s.browser()
		b.wants(t, "/begin?user="+user+"&iss="+iss+"&sid="+sid+"&sub="+sub, user)
		return b
	}
	a, b, c, d := begin("u_a", "i", "1", "s"), begin("u_a", "i", "2", "s"), begin("u_c", "j", "1", "s"), begin("u_d", "", "", "")
	a.get(t, "/rotate")
	if n, err := s.room.EndOIDC(t.Context(), "i", "1", ""); n != 1 || err != nil {
		t.Errorf("by sid: got %d (%v), want 1", n, err)
	}
	a.wants(t, "/", "none")
	b.wants(t, "/", "u_a")
	if n, err := s.room.EndOIDC(t.Context(), "i", "", "s"); n != 1 || err != nil {
		t.Errorf("by subject: got %d (%v), want 1", n, err)
	}
	b.wants(t, "/", "none")
	c.wants(t, "/", "u_c")
	d.wants(t, "/", "u_d")
	if _, err := s.room.EndOIDC(t.Context(), "i", "", ""); err == nil {
		t.Error("a logout that names nothing: got no error")
	}
}

func TestTheLookUpForTheRateLimitKnowsSignedInSessionsOnly(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/keep?v=x")
	ask := func(cookie string) (string, bool) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", name+"="+cookie)
		return s.room.Cached(r.WithContext(guard.With(r.Context(), &guard.Exchange{Secure: true})))
	}
	if key, ok := ask(b.cookie); ok {
		t.Errorf("without a user: got %q", key)
	}
	anonymous := b.cookie
	b.get(t, "/begin?user=u_a")
	key, ok := ask(b.cookie)
	if !ok || !strings.HasPrefix(key, "s:") {
		t.Errorf("signed in: got %q %v, want a key", key, ok)
	}
	if key, ok := ask(anonymous); ok {
		t.Errorf("rotated away: got %q", key)
	}
	s.room.EndAll(t.Context(), "u_a", "")
	if key, ok := ask(b.cookie); ok {
		t.Errorf("ended: got %q", key)
	}
}

func TestAClientMakesABoundedNumberOfSessions(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	got := map[string]int{}
	for range 100 {
		got[s.browser().get(t, "/keep?v=x")]++
	}
	if got["nobody"] < 60 || got["nobody"] > 65 || got["dropped"] < 35 {
		t.Errorf("got %v, want about 60 sessions and no more", got)
	}
	if n := s.ruled("session.anonymous-flood"); n != 1 {
		t.Errorf("got %d events, want 1", n)
	}
	s.client = netip.MustParseAddr("192.0.2.8")
	s.browser().wants(t, "/keep?v=x", "nobody")
	s.client = netip.MustParseAddr("192.0.2.7")
	s.browser().wants(t, "/begin?user=u_a", "u_a") // signing in is not bounded here
}

func TestAReloadKeepsWhatIsInMemory(t *testing.T) {
	s := newSite(t, session.Config{}, session.Options{}).start(t)
	b := s.browser()
	b.get(t, "/begin?user=u_a")
	next, err := session.New(session.Config{Idle: 30 * time.Minute}, session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	next.Succeed(s.room)
	s.use(next)
	b.wants(t, "/", "u_a")
}

func TestNewReportsEveryMistake(t *testing.T) {
	for _, c := range []struct {
		config session.Config
		want   string
	}{
		{session.Config{}, ""},
		{session.Config{Absolute: 30 * time.Minute}, ""},
		{session.Config{Idle: time.Second}, "session.idle: 1s is out of range"},
		{session.Config{Idle: 48 * time.Hour}, "session.idle: 48h0m0s is more than session.absolute (24h0m0s)"},
		{session.Config{StrictIdle: 2 * time.Hour}, "session.strict_idle: 2h0m0s is more than session.idle (1h0m0s)"},
		{session.Config{StrictAbsolute: 25 * time.Hour}, "session.strict_absolute: 25h0m0s is more than"},
		{session.Config{PerUser: 101, Vault: "no"}, "session.per_user: 101 is out of range: want 1 to 100\nsession.vault: \"no\" is none of on, off"},
	} {
		_, err := session.New(c.config, session.Options{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: got %v, want %q", c.config, err, c.want)
		}
	}
	room, _ := session.New(session.Config{}, session.Options{})
	if err := room.Route(1, session.Config{Vault: "off"}); err != nil {
		t.Errorf("vault on a route: got %v, want none", err)
	}
	err := room.Route(2, session.Config{Idle: 5 * time.Minute, PerUser: 2})
	if err == nil || !strings.Contains(err.Error(), "session.idle: a site or a route cannot differ") || !strings.Contains(err.Error(), "session.per_user: ") {
		t.Errorf("limits on a route: got %v", err)
	}
	weak := session.Config{Idle: 2 * time.Hour, PerUser: 50, Vault: "off", StrictIdle: time.Minute}.Weakened()
	if got := strings.Join(weak, "\n"); got != "idle: 2h (default 1h)\nper_user: 50 (default 10)\nvault: off: the app's cookies go to the browser" {
		t.Errorf("got %q", got)
	}
}

func TestAnUnknownIDCostsOneRead(t *testing.T) {
	records := &counted{Records: store.NewRecords()}
	s := newSite(t, session.Config{}, session.Options{Records: records}).start(t)
	b := s.browser()
	raw := sha256.Sum256([]byte("random"))
	b.cookie = base64.RawURLEncoding.EncodeToString(raw[:])
	for range 50 {
		b.wants(t, "/", "none")
	}
	if gets, puts := records.gets.Load(), records.puts.Load(); gets != 1 || puts != 0 {
		t.Errorf("got %d reads and %d writes, want 1 and 0", gets, puts)
	}
	b.get(t, "/begin?user=u_a")
	gets := records.gets.Load()
	for range 50 {
		b.wants(t, "/", "u_a")
	}
	if got := records.gets.Load() - gets; got != 0 {
		t.Errorf("got %d reads with a warm cache, want none", got)
	}
}
