package hauberk_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/internal/attack"
)

// reloading is a server whose chain is replaced while it serves.
type reloading struct {
	*hauberk.Server
	journal       *attack.Journal
	addr          string
	secure, plain net.Listener
}

// chainOf makes a chain of a config, and nothing else that would hold it.
func chainOf(t testing.TB, j *attack.Journal, yaml string) *hauberk.Chain {
	t.Helper()
	c, _, err := hauberk.Parse("hauberk.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	c.Logger, c.Record = slog.New(slog.DiscardHandler), j.Record
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

const oneSite = "sites: [{access: app, headers: compat}]\n"

func serveReloading(t testing.TB, chain *hauberk.Chain, j *attack.Journal, h http.Handler) *reloading {
	t.Helper()
	r := &reloading{Server: chain.Server(h), journal: j}
	for _, l := range []*net.Listener{&r.secure, &r.plain} {
		var err error
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	r.addr = r.secure.Addr().String()
	go r.Serve(r.secure)
	go r.ServeClear(r.plain)
	t.Cleanup(func() { r.Close() })
	return r
}

// client keeps its connections; it speaks one version of HTTP.
func (r *reloading) client(protocol int) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(protocol == 1)
	p.SetHTTP2(protocol == 2)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		Protocols: p, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", r.addr)
		},
	}}
}

func get(t testing.TB, c *http.Client, path string) (int, string) {
	t.Helper()
	res, err := c.Get("https://localhost" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) })
}

// TestASwapHoldsForTheNextRequestOfAnOldConnection asks on one connection
// before and after, in both versions of HTTP.
func TestASwapHoldsForTheNextRequestOfAnOldConnection(t *testing.T) {
	j := &attack.Journal{}
	r := serveReloading(t, chainOf(t, j, oneSite), j, says("old"))
	clients := []*http.Client{r.client(1), r.client(2)}
	for _, c := range clients {
		if code, body := get(t, c, "/.env"); code != 404 {
			t.Errorf("got %d %q, want the dotfile hidden", code, body)
		}
		if _, body := get(t, c, "/"); body != "old" {
			t.Errorf("got %q, want the old app", body)
		}
	}
	if err := r.Swap(chainOf(t, j, oneSite+"harden: {served: [/.env]}\n"), says("new")); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		for _, path := range []string{"/.env", "/"} {
			if code, body := get(t, c, path); code != 200 || body != "new" {
				t.Errorf("%s: got %d %q, want the new app by the new rules", path, code, body)
			}
		}
	}
}

// TestAReloadForgivesNobody holds that what a client has asked, the keys of
// session tickets and their sessions outlive the chain that knew them.
func TestAReloadForgivesNobody(t *testing.T) {
	j := &attack.Journal{}
	const paced = oneSite + "ratelimit: 60/h burst 3\n"
	r := serveReloading(t, chainOf(t, j, paced), j, says("app"))
	c := r.client(1)
	c.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumed := func() bool {
		c.CloseIdleConnections()
		res, err := c.Get("https://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		return res.TLS.DidResume
	}
	for range 3 {
		if code, _ := get(t, c, "/"); code != 200 {
			t.Fatalf("got %d within the burst", code)
		}
	}
	if code, _ := get(t, c, "/"); code != 429 || !resumed() {
		t.Fatalf("got %d behind the burst, want 429 and a session that resumes", code)
	}
	if err := r.Swap(chainOf(t, j, paced+"harden: {idle: 1m}\n"), says("app")); err != nil {
		t.Fatal(err)
	}
	if !resumed() {
		t.Error("the reload threw the ticket keys away")
	}
	if code, _ := get(t, c, "/"); code != 429 {
		t.Errorf("got %d after the reload, want 429: it gave the client a new burst", code)
	}
	// Another rate is another bucket.
	if err := r.Swap(chainOf(t, j, oneSite+"ratelimit: {allow: [127.0.0.0/8]}\n"), says("app")); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, c, "/"); code != 200 {
		t.Errorf("got %d, want the list of the new config to hold", code)
	}
}

// TestWhatARestartAloneCanChangeIsNamed tries to change each of it, and holds
// the record of the decision to name each.
func TestWhatARestartAloneCanChangeIsNamed(t *testing.T) {
	record, err := os.ReadFile("docs/decisions/0005-reload.md")
	if err != nil {
		t.Fatal(err)
	}
	const trusted = "trusted_proxies: [192.0.2.0/24]\n"
	state := t.TempDir()
	j := &attack.Journal{}
	r := serveReloading(t, chainOf(t, j, oneSite), j, says("old"))
	for _, c := range []struct{ change, want string }{
		{"listen: :9443\n", `listen: changed from ":8443" to ":9443": this needs a restart`},
		{"http: :9080\n", `http: changed from "" to ":9080": this needs a restart`},
		{trusted + "proxy_http: 127.0.0.1:9081\n", `proxy_http: changed from "" to "127.0.0.1:9081": this needs a restart`},
		{trusted + "proxy_protocol: true\n", `proxy_protocol: changed from "false" to "true": this needs a restart`},
		{"state: " + state + "\n", `state: changed from "" to "` + state + `": this needs a restart`},
		{"log_file: /var/log/x\n", `log_file: changed from "" to "/var/log/x": this needs a restart`},
		{"log_size: 2MiB\n", `log_size: changed from "0B" to "2MiB": this needs a restart`},
		{"log: text\n", `log: changed from "json" to "text": this needs a restart`},
		{"monitor: {queue: 100}\n", "monitor: the section has changed: this needs a restart, since the journal and its listener go on"},
	} {
		err := r.Swap(chainOf(t, j, oneSite+c.change), says("new"))
		if fmt.Sprint(err) != c.want {
			t.Errorf("%s: got %v, want %s", strings.TrimSpace(c.change), err, c.want)
		}
		if key, _, _ := strings.Cut(c.want, ":"); !strings.Contains(string(record), "`"+key+"`") {
			t.Errorf("docs/decisions/0005-reload.md: does not name `%s`", key)
		}
	}
	if _, body := get(t, r.client(1), "/"); body != "old" {
		t.Errorf("got %q after refused swaps, want the old app", body)
	}
	used := chainOf(t, j, oneSite)
	if err := r.Swap(used, says("new")); err != nil {
		t.Fatal(err)
	}
	if err := r.Swap(used, says("newer")); err == nil {
		t.Error("got a chain swapped in twice, want an error")
	}
	r.Close()
	if err := r.Swap(chainOf(t, j, oneSite), says("late")); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("got %v of a closed server, want that it is closed", err)
	}
}

func TestAReloadIsJournalledWhateverCameOfIt(t *testing.T) {
	j := &attack.Journal{}
	r := serveReloading(t, chainOf(t, j, oneSite), j, says("old"))
	r.Kept(errors.New("hauberk.yaml:1:1: site: unknown key"))
	if err := r.Swap(chainOf(t, j, oneSite), says("new")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range j.Events() {
		got = append(got, fmt.Sprintf("%s %s: %s", e.Rule.ID, e.Verdict, e.Detail))
	}
	want := []string{
		"monitor.reload failed: the old configuration stays in force: hauberk.yaml:1:1: site: unknown key",
		"monitor.reload noted: the new configuration is in force",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestConnectionsAreCountedThroughASwap holds that a reload gives nobody room
// for more connections than he may have.
func TestConnectionsAreCountedThroughASwap(t *testing.T) {
	j := &attack.Journal{}
	config := oneSite + "harden: {connections: 3}\n"
	r := serveReloading(t, chainOf(t, j, config), j, says("ok"))
	open := func() net.Conn {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for range 3 {
		if err := tls.Client(open(), &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}).Handshake(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Swap(chainOf(t, j, config), says("ok")); err != nil {
		t.Fatal(err)
	}
	c := open()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		t.Errorf("got %d bytes, %v on the fourth connection, want it closed", n, err)
	}
}

// TestEventsOfAnOldAnswerReachTheJournal refuses nothing: the answer of an old
// chain notes a fact after the swap.
func TestEventsOfAnOldAnswerReachTheJournal(t *testing.T) {
	j := &attack.Journal{}
	rule := &guard.Rule{ID: "harden.late", Title: "late"}
	begun, end := make(chan struct{}), make(chan struct{})
	r := serveReloading(t, chainOf(t, j, oneSite), j, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-end
		guard.From(r.Context()).Emit(rule.Noted("late"))
	}))
	answered := make(chan int, 1)
	go func() {
		code, _ := get(t, r.client(1), "/")
		answered <- code
	}()
	<-begun
	if err := r.Swap(chainOf(t, j, oneSite), says("new")); err != nil {
		t.Fatal(err)
	}
	close(end)
	if code := <-answered; code != 200 {
		t.Errorf("got %d, want the old answer", code)
	}
	for _, e := range j.Events() {
		if e.Rule == rule {
			return
		}
	}
	t.Error("got no event of the old answer")
}

// TestAClosedGateGoesWithTheConnectionThatCameTooLate closes gates while they
// are being handed a connection: a gate that stays holds its limits for ever.
func TestAClosedGateGoesWithTheConnectionThatCameTooLate(t *testing.T) {
	s := chainOf(t, &attack.Journal{}, "").Server(says("one"))
	held := 0
	for range 2000 {
		if hauberk.RetireBefore(s) {
			held++
		}
	}
	if held > 0 {
		t.Errorf("got %d of 2000 gates still held, want none", held)
	}
}
