package demo_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/monitor"
	"hauberk.dev/internal/demo"
	"hauberk.dev/store/sqlite"
)

// page is what the demonstration has written so far.
type page struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

// await waits until pattern has been written and returns its groups.
func (p *page) await(t *testing.T, pattern string) []string {
	t.Helper()
	expr := regexp.MustCompile(pattern)
	for range 1000 {
		if m := expr.FindStringSubmatch(p.String()); m != nil {
			return m
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("got %s, want %s in it", p, pattern)
	return nil
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestEveryRowIsAsTheTablePromises is the demonstration itself.
func TestEveryRowIsAsTheTablePromises(t *testing.T) {
	var out page
	start := time.Now()
	err := demo.Run(t.Context(), demo.Options{Out: &out, Once: true, Port: freePort(t)})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("got %v, want under 5 s", took)
	}
	text := out.String()
	for _, want := range []string{" 1 Input validation", " 8 CSRF protection", "15 Monitoring and logging",
		"csrf.cross-origin", "succeeds  not built yet", "the bare app stops 0", "9 of 9 visitors get the same at both doors",
		"refused   429 ratelimit.exceeded",
		"Measured with `headers: strict`, and `ratelimit: 10/min`", "other 22 that the table stops are stopped, and 9 of 9 visitors"} {
		if !strings.Contains(text, want) {
			t.Errorf("got a table without %q:\n%s", want, text)
		}
	}
	if _, lenient, _ := strings.Cut(text, "`headers: compat`"); strings.Count(lenient, "and it runs ") != 2 || strings.Count(lenient, "guesses") != 1 {
		t.Errorf("got %s, want the two scripts that run and the guesses that pass behind serve --to", lenient)
	}
	if strings.Contains(text, "\x1b") {
		t.Error("got colour, want none where nobody asked for it")
	}
}

// TestTheTableIsColouredWhereTheTerminalHasColour looks for the escapes alone.
func TestTheTableIsColouredWhereTheTerminalHasColour(t *testing.T) {
	var out page
	if err := demo.Run(t.Context(), demo.Options{Out: &out, Once: true, Colour: true, Port: freePort(t)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[31msucceeds", "\x1b[32mrefused", "\x1b[33msucceeds"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got no %q", want)
		}
	}
}

// TestItStaysUpToClickAroundInUntilItIsStopped uses it as a visitor does, with
// the local CA as the only one that he trusts.
func TestItStaysUpToClickAroundInUntilItIsStopped(t *testing.T) {
	var out page
	state := filepath.Join(t.TempDir(), "state")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- demo.Run(ctx, demo.Options{Out: &out, State: state, Port: port}) }()
	url := out.await(t, `behind Hauberk   (https://localhost:\d+)\n`)[1]
	if strings.HasSuffix(url, fmt.Sprint(port)) {
		t.Errorf("got %s, want the next free port", url)
	}
	ca := out.await(t, `--cacert (\S+) `)[1]
	out.await(t, "Ctrl-C")
	client := trusting(t, ca)

	res, err := client.Get(url + "/search?q=%3Cscript%3E1%3C/script%3E")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	csp := res.Header.Get("Content-Security-Policy")
	if res.StatusCode != 200 || !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
		t.Errorf("got %s and %q, want a page whose scripts do not run", res.Status, csp)
	}
	req, _ := http.NewRequest("POST", url+"/transfer", strings.NewReader("to=bob&amount=1"))
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if res, err = client.Do(req); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("got %s, want a refusal", res.Status)
	}
	said := out.await(t, `csrf.cross-origin  cross-origin request refused\n +hauberk explain ([0-9a-f]{32}) --state (\S+)\n`)
	found := func() bool { // as `hauberk explain` looks for it
		db, err := sqlite.OpenReadOnly(filepath.Join(said[2], "hauberk.db"))
		if err != nil {
			return false
		}
		defer db.Close()
		n := 0
		_, err = monitor.Read(t.Context(), db, 0, monitor.Query{Incident: said[1], Rule: "csrf.cross-origin"}, func(monitor.Row) error { n++; return nil })
		return err == nil && n == 1
	}
	for end := time.Now().Add(5 * time.Second); !found() && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	if !found() {
		t.Errorf("got no event for hauberk explain %s --state %s", said[1], said[2])
	}

	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("got no end, want one when it is stopped")
	}
	if _, err := os.Stat(ca); err != nil {
		t.Errorf("got %v, want the state kept where it was asked for", err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(url, "https://")); err == nil {
		t.Error("got a connection, want the port closed")
	}
}

func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}
}

// TestNothingIsLeftBehindWhereNoStateWasAskedFor looks at the temporary folder.
func TestNothingIsLeftBehindWhereNoStateWasAskedFor(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out page
	if err := demo.Run(t.Context(), demo.Options{Out: &out, Once: true, Port: freePort(t)}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("got %v, %v left, want nothing", left, err)
	}
}

// TestCompatIsHeldToItsOwnPromises shows that its measurement can fail.
func TestCompatIsHeldToItsOwnPromises(t *testing.T) {
	for _, c := range []struct {
		name, promise string
		got, answered bool
		want          string
	}{
		{"a script that runs", "compat", true, true, ""},
		{"a script that no longer runs", "compat", false, true, "is said to work behind headers: compat"},
		{"an attack that is stopped", "stopped", false, true, ""},
		{"an attack that works", "stopped", true, true, "works behind headers: compat"},
		{"a server that is down", "stopped", false, false, "was not answered"},
		{"a visitor", "innocent", true, true, ""},
		{"a visitor who is refused", "innocent", false, true, "no longer works"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := demo.JudgeLenient(c.promise, c.got, c.answered)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestARowThatContradictsTheTableIsAnError is what --once ends with.
func TestARowThatContradictsTheTableIsAnError(t *testing.T) {
	for _, c := range []struct {
		name, promise           string
		bare, guarded, answered bool
		want                    string
	}{
		{"an attack that is stopped", "stopped", true, false, true, ""},
		{"an attack that waits for its room", "later", true, true, true, ""},
		{"a visitor", "innocent", true, true, true, ""},
		{"an attack that fails anyway", "stopped", false, false, true, "does not work on the bare app: bare"},
		{"an attack that works", "stopped", true, true, true, "works behind Hauberk"},
		{"a server that is down", "stopped", true, false, false, "was not answered behind Hauberk"},
		{"an attack that is stopped and not said to be", "later", true, false, true, "is said to work"},
		{"a visitor who is refused", "innocent", true, false, true, "no longer works behind Hauberk: guarded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := demo.Judge(c.promise, c.bare, c.guarded, c.answered)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
