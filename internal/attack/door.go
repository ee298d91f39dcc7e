package attack

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"hauberk.dev/guard"
)

// Protocol names what a connection speaks.
type Protocol string

// The protocols, the first two as TLS names them.
const (
	HTTP1 Protocol = "http/1.1"
	HTTP2 Protocol = "h2"
	Clear Protocol = "http" // HTTP/1.1 in clear text
)

// DefaultHost is the name that a case asks for where it names none.
const DefaultHost = "app.test"

// defaultSite is the site behind it, defaultProfile its profile of headers.
const (
	defaultSite    = "sites:\n  - hosts: [" + DefaultHost + "]\n    access: app\n"
	defaultProfile = "    headers: compat\n"
)

var (
	ownSites   = regexp.MustCompile(`(?m)^sites:`)
	ownProfile = regexp.MustCompile(`(?m)^headers: *[a-z]+ *$|^headers:.*\bprofile:|^headers: *\n(?: .*\n)* +profile:`)
)

// Configuration returns the YAML that is in force for c.
func (c Case) Configuration() string {
	switch {
	case ownSites.MatchString(c.Config):
		return c.Config
	case ownProfile.MatchString(c.Config):
		return defaultSite + c.Config
	}
	return defaultSite + defaultProfile + c.Config
}

// Door is a guarded server as a case meets it.
type Door struct {
	// Dial opens a connection; sni is the name to ask for in TLS.
	Dial func(ctx context.Context, p Protocol, sni string) (net.Conn, error)
	// Host replaces DefaultHost.
	Host string
	// App is what stands behind; nil where it cannot be asked, then nothing is
	// told to it and what it saw is not looked at.
	App *App
	// Journal holds the events; nil where there is none, then a rule is what
	// the answer itself names.
	Journal *Journal
}

// Journal keeps events until a replay asks for them.
type Journal struct {
	mu     sync.Mutex
	events []guard.Event
	more   chan struct{}
}

// Record keeps e.
func (j *Journal) Record(e guard.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
}

// Events returns what was kept.
func (j *Journal) Events() []guard.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]guard.Event(nil), j.events...)
}

// Forget drops what was kept.
func (j *Journal) Forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = nil
}

// next returns a channel that is closed when another event has come.
func (j *Journal) next() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.more == nil {
		j.more = make(chan struct{})
	}
	return j.more
}

// App is the application of a replay: it answers what the case says and
// records what it saw.
type App struct {
	mu     sync.Mutex
	answer Answer
	seen   []Request
}

// Request is what the app saw.
type Request struct {
	Method, Target, Host string
	Header               http.Header
	Body                 string
}

// Answer sets what the app answers from now on, and forgets what it saw.
func (a *App) Answer(with Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer, a.seen = with, nil
}

// Seen returns the requests since the last call of Answer.
func (a *App) Seen() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Request(nil), a.seen...)
}

// ServeHTTP records the request and answers.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxRepeat))
	a.mu.Lock()
	a.seen = append(a.seen, Request{r.Method, r.URL.RequestURI(), r.Host, r.Header.Clone(), string(body)})
	with := a.answer
	a.mu.Unlock()
	switch {
	case with.Panics:
		panic("the app panics: secret /srv/app/handler.go:42")
	case with.Cuts:
		panic(http.ErrAbortHandler)
	}
	with.send(w)
}

func (a Answer) send(w http.ResponseWriter) {
	if a.Status == http.StatusSwitchingProtocols {
		a.takeOver(w)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	for _, name := range a.Absent {
		h[http.CanonicalHeaderKey(name)] = nil
	}
	for _, f := range a.Header {
		if http.CanonicalHeaderKey(f.Name) == "Content-Type" {
			h.Del(f.Name)
		}
		h.Add(f.Name, f.Value)
	}
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	body := "ok"
	if a.HasBody {
		body = expand(a.Body)
	}
	_, _ = io.WriteString(w, body)
}

// takeOver writes a 101 on the connection itself, as a WebSocket library does.
func (a Answer) takeOver(w http.ResponseWriter) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	for _, f := range a.Header {
		_, _ = buf.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	_, _ = buf.WriteString("\r\n")
	_ = buf.Flush()
	_, _ = io.Copy(conn, bufio.NewReader(io.LimitReader(conn, 1<<10)))
}

// expand writes {text*N} out.
func expand(s string) string {
	return repeated.ReplaceAllStringFunc(s, func(m string) string {
		sub := repeated.FindStringSubmatch(m)
		n, err := strconv.Atoi(sub[2])
		if err != nil || n*len(sub[1]) > maxRepeat {
			return m
		}
		return strings.Repeat(sub[1], n)
	})
}
