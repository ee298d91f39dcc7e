package harden

import (
	"bytes"
	"hash/maphash"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
)

var exposed = &guard.Rule{
	ID: "harden.exposed", Severity: guard.Medium,
	Title: "this page shows the inside of the application",
	Fix:   "serve it on a private listener, or leave it out of the build: it maps the application for an attacker",
	CWE:   200, ASVS: []string{"13.4.2", "13.4.3", "13.4.5"},
}

// seen remembers which paths were judged, so that an ordinary answer costs
// nothing the second time. A slot holds the hash of path and hour.
type seen struct {
	seed  maphash.Seed
	slots [2048]atomic.Uint64
}

func (s *seen) slot(path string) (*atomic.Uint64, uint64) {
	h := maphash.String(s.seed, path) + uint64(time.Now().Unix()/3600)
	return &s.slots[h%uint64(len(s.slots))], h
}

// look opens an eye on an answer that could be a source map, metrics, a debug
// page or a listing: they are judged by what comes back, never by name.
func (rm *Room) look(h http.Header, r *http.Request, status int) io.Writer {
	if status != http.StatusOK || r.Method != http.MethodGet {
		return nil
	}
	x := guard.From(r.Context())
	slot, hash := rm.seen.slot(x.Path)
	if slot.Load() == hash || x.Refused != nil {
		return nil
	}
	slot.Store(hash)
	if !telling(h["Content-Type"]) {
		return nil
	}
	return &eye{rm: rm, x: x}
}

// telling says whether an answer of that type may be what we look for.
func telling(types []string) bool {
	if len(types) == 0 {
		return true
	}
	for _, t := range [...]string{"text/html", "text/plain", "application/json", "application/octet-stream", "application/openmetrics-text", "application/vnd.spring-boot"} {
		if strings.HasPrefix(types[0], t) {
			return true
		}
	}
	return false
}

// eye keeps the first bytes of an answer.
type eye struct {
	rm   *Room
	x    *guard.Exchange
	head []byte
	done bool
}

const glance = 1024

func (e *eye) Write(p []byte) (int, error) {
	if !e.done {
		e.head = append(e.head, p[:min(len(p), glance-len(e.head))]...)
		if len(e.head) >= glance {
			e.judge()
		}
	}
	return len(p), nil
}

// Close judges an answer that was shorter than a glance.
func (e *eye) Close() error {
	if !e.done {
		e.judge()
	}
	return nil
}

func (e *eye) judge() {
	e.done = true
	if what := exposure(e.head); what != "" {
		ev := exposed.Noted("the answer is %s", what)
		ev.Field = "path"
		e.x.Emit(ev)
	}
	e.head = nil
}

// exposure names what the first bytes of an answer are the grammar of, or "".
func exposure(b []byte) string {
	b = bytes.TrimSpace(b)
	tight := bytes.ReplaceAll(b, []byte(" "), nil)
	switch {
	case len(b) == 0:
	case bytes.HasPrefix(b, []byte("# HELP ")), bytes.HasPrefix(b, []byte("# TYPE ")):
		return "a list of metrics"
	case b[0] == '{':
		return exposedJSON(bytes.ReplaceAll(tight, []byte("\n"), nil))
	case b[0] == '<':
		return exposedPage(b)
	}
	return ""
}

func exposedJSON(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte(`{"version":3,`)) && (bytes.Contains(b, []byte(`"mappings":`)) || bytes.Contains(b, []byte(`"sources":`))):
		return "a source map"
	case bytes.HasPrefix(b, []byte(`{"cmdline":[`)):
		return "expvar"
	case bytes.HasPrefix(b, []byte(`{"_links":{"self":{"href":`)) && bytes.Contains(b, []byte("/actuator")):
		return "an actuator index"
	}
	return ""
}

func exposedPage(b []byte) string {
	for _, page := range [...]struct{ title, what string }{
		{"<title>/debug/pprof/", "a profiler index"},
		{"<title>phpinfo()", "phpinfo"},
		{"<title>Index of /", "a directory listing"},
		{"<title>listing directory ", "a directory listing"},
		{"<title>Apache Status", "a server status page"},
	} {
		if bytes.Contains(b, []byte(page.title)) {
			return page.what
		}
	}
	return ""
}
