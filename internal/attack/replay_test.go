package attack_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/internal/attack"
)

var gate = &guard.Rule{ID: "test.gate", Status: http.StatusForbidden, Title: "refused"}

// door opens real sockets, TLS and clear, in front of an app behind a small
// gate: /gate is refused, /note is noted, /cut breaks off, /close never answers.
func door(t *testing.T) attack.Door {
	t.Helper()
	app, journal := &attack.App{}, &attack.Journal{}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "1")
		switch r.URL.Path {
		case "/gate":
			journal.Record(guard.Event{Rule: gate, Verdict: guard.Denied, Request: "1"})
			w.WriteHeader(gate.Status)
		case "/late":
			w.WriteHeader(gate.Status)
			go journal.Record(guard.Event{Rule: gate, Verdict: guard.Denied, Request: "1"})
		case "/note":
			journal.Record(guard.Event{Rule: gate, Verdict: guard.Noted, Request: "1"})
			app.ServeHTTP(w, r)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "short")
		case "/close":
			panic(http.ErrAbortHandler)
		default:
			if r.Header.Get("Upgrade") == "" {
				journal.Record(guard.Event{Rule: gate, Verdict: guard.Denied, Request: "another"})
			}
			app.ServeHTTP(w, r)
		}
	})
	secure := httptest.NewUnstartedServer(h)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	clear := httptest.NewServer(h)
	t.Cleanup(clear.Close)
	return attack.Door{App: app, Journal: journal,
		Dial: func(ctx context.Context, p attack.Protocol, sni string) (net.Conn, error) {
			if p == attack.Clear {
				return (&net.Dialer{}).DialContext(ctx, "tcp", clear.Listener.Addr().String())
			}
			d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: sni, NextProtos: []string{string(p)}}}
			return d.DialContext(ctx, "tcp", secure.Listener.Addr().String())
		}}
}

const replayed = `# Everything that a case can say, over TLS.
<- 201
<- Set-Cookie: sid=s3cret; Path=/
<- Content-Type: text/plain
<- | token=abc123 end
POST /a%2Fb?x=1%3By=2
X-Mixed-CASE: {ab*3}

hello
-> 201
-> Set-Cookie: ~ sid={sid};
-> Content-Type: text/plain
-> Content-Type: !~ html
-> !X-Powered-By
-> | token={token} end
-> !| absent
=> POST /a%2Fb?x=1%3By=2
=> X-Mixed-Case: ababab
=> Host: app.test
=> Content-Length: 5
=> !Cookie
=> | hello
=> !| bye
@then
GET /next?t={token}
Cookie: sid={sid}

-> 200
-> | ok
=> GET /next?t=abc123
=> Cookie: sid=s3cret

# Over HTTP/2.
@http2
<- Content-Type: text/plain
POST /x
X-Mixed-CASE: v

hello
-> 200
-> Content-Type: text/plain
=> POST /x
=> X-Mixed-Case: v
=> | hello

# A pseudo-header over HTTP/2 as the case wants it.
@http2
GET /x
:authority: evil.test

-> 200
=> Host: evil.test

# A long header over HTTP/2.
@http2
GET /x
X-Long: {a*40000}

-> 200
=> X-Long: {a*40000}

# In clear text.
@clear
@host other.test
GET /x
-> 200
=> Host: other.test

# A refusal, whose event comes late.
GET /late
-> 403 test.gate
=> nothing

# A fact that refuses nothing.
GET /note
-> 200
-> event test.gate

# The same over HTTP/2.
@http2
GET /gate
-> 403 test.gate

# An answer that breaks off.
GET /cut
-> 200
-> cut

# The same over HTTP/2.
@http2
GET /cut
-> 200
-> cut

# No answer.
GET /close
-> closed

# No answer over HTTP/2.
@http2
GET /close
-> closed

# Two requests on one connection, the second with an end.
@raw
"GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\n"
"GET /" "2" * 3 " HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n"
-> 200
-> 200
-> closed
=> GET /1
=> GET /222

# An upgrade.
<- 101
<- Connection: Upgrade
<- Upgrade: websocket
GET /ws
Connection: Upgrade
Upgrade: websocket

-> 101
-> Upgrade: websocket
`

// TestReplayMeetsEveryWant replays over real sockets.
func TestReplayMeetsEveryWant(t *testing.T) {
	cases, err := attack.Parse("r.attack", []byte(replayed))
	if err != nil {
		t.Fatal(err)
	}
	d := door(t)
	for _, c := range cases {
		t.Run(c.Title, func(t *testing.T) {
			if _, err := attack.Replay(t.Context(), c, d); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReplayIsStrict shows that each want can fail, with its line.
func TestReplayIsStrict(t *testing.T) {
	d := door(t)
	for _, c := range []struct{ name, src, want string }{
		{"status", "GET /\n-> 403\n", ":3: got status 200"},
		{"a rule that did not refuse", "GET /\n-> 200 test.gate\n", ":3: got refused by [], want test.gate"},
		{"a refusal that nobody wanted", "GET /gate\n-> 403\n", "want no refusal"},
		{"an event", "GET /\n-> 200\n-> event test.gate\n", ":3: got events []"},
		{"a header", "GET /\n-> 200\n-> Content-Type: text/plain\n", ":4: got Content-Type:"},
		{"a missing header", "GET /\n-> 200\n-> Via: x\n", ":4: got no Via"},
		{"a header too many", "GET /\n-> 200\n-> !Content-Type\n", ":4: got Content-Type:"},
		{"a header with a part too many", "GET /\n-> 200\n-> Content-Type: !~ html\n", ":4: got Content-Type:"},
		{"a missing header without a part", "GET /\n-> 200\n-> Via: !~ x\n", ":4: got no Via"},
		{"text", "GET /\n-> 200\n-> | nope\n", ":4: got body"},
		{"text too many", "GET /\n-> 200\n-> !| ok\n", ":4: got a body with"},
		{"closed", "GET /\n-> closed\n", ":3: got status 200 [], want the connection closed"},
		{"not closed", "GET /close\n-> 200\n", ":3: got no answer"},
		{"cut", "GET /\n-> 200\n-> cut\n", ":3: got a body that broke off: false"},
		{"nothing", "GET /\n-> 200\n=> nothing\n", "the app saw GET /, want nothing"},
		{"another target", "GET /a\n-> 200\n=> GET /b\n", ":4: the app saw GET /a, want GET /b"},
		{"requests", "GET /gate\n-> 403 test.gate\n=> GET /gate\n", ":4: the app saw 0 requests"},
		{"a header that the app saw", "GET /\nX-User-Id: 1\n-> 200\n=> !X-User-Id\n", ":5: the app saw: got X-User-Id"},
		{"a body that the app saw", "POST /\n\nx\n-> 200\n=> | y\n", ":6: the app saw: got body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cases, err := attack.Parse("x", []byte("# t\n"+c.src))
			if err != nil {
				t.Fatal(err)
			}
			_, err = attack.Replay(t.Context(), cases[0], d)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
