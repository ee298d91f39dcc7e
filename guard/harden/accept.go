package harden

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"hauberk.dev/guard"
)

var connections = &guard.Rule{
	ID: "harden.connections", Severity: guard.Medium, Status: http.StatusTooManyRequests,
	Title: "too many connections",
	Fix:   "raise harden.connections if many people share this address",
	CWE:   770, ASVS: []string{"13.1.3"},
}

var strangeProxy = &guard.Rule{
	ID: "harden.untrusted-proxy", Severity: guard.Medium, Status: http.StatusForbidden,
	Title: "this door is for trusted proxies",
	Fix:   "connect to the listener for clients, or name the proxy in trusted_proxies",
	CWE:   290, ASVS: []string{"4.1.3"},
}

var unnamed = &guard.Rule{
	ID: "harden.proxy-header", Severity: guard.Medium, Status: http.StatusBadRequest,
	Title: "a PROXY header is missing or cannot be read",
	Fix:   "have the load balancer send PROXY protocol version 1 or 2, or take proxy_protocol away",
	CWE:   290, ASVS: []string{"4.1.3"},
}

// census counts the connections of each client. It outlives the room at a
// reload, and a connection holds it and not the room.
type census struct {
	mu      sync.Mutex
	clients map[netip.Addr]int
}

// Succeed goes on with the counts of the room that stood before, at a reload:
// who holds a hundred connections does not get another hundred. The root calls
// it before rm sees its first connection.
func (rm *Room) Succeed(old *Room) { rm.held = old.held }

// Accept counts a new connection of addr. Where ok is false the client holds
// as many as it may, and the connection is to be closed unread; else release
// is called once it has ended. The root's accept loop calls it, but not for
// trusted proxies. An invalid address, that of a unix socket, is not counted.
func (rm *Room) Accept(addr netip.Addr) (release func(), ok bool) {
	if !addr.IsValid() {
		return func() {}, true
	}
	c := guard.ClientOf(addr)
	held := rm.held
	if !held.enter(c, rm.top.Connections) {
		rm.refused(connections, c, fmt.Sprintf("more than %d connections at once", rm.top.Connections))
		return func() {}, false
	}
	return sync.OnceFunc(func() { held.leave(c) }), true
}

// enter counts one connection, unless the client holds most already.
func (l *census) enter(c netip.Addr, most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients[c] >= most {
		return false
	}
	l.clients[c]++
	return true
}

// Stranger records a connection to a door for trusted proxies by somebody
// else. The root closes it unread.
func (rm *Room) Stranger(addr netip.Addr) {
	rm.refused(strangeProxy, addr, "a connection to a listener that is for trusted_proxies alone")
}

// Unnamed records a trusted proxy's connection without a PROXY header that can
// be read. The root closes it: whoever stands behind it is unknown.
func (rm *Room) Unnamed(addr netip.Addr, err error) {
	rm.refused(unnamed, addr, "no PROXY header: "+err.Error())
}

// leave forgets one connection; who holds none takes no memory.
func (l *census) leave(c netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients[c]--; l.clients[c] <= 0 {
		delete(l.clients, c)
	}
}

// refused records what happened to a connection, folded by client.
func (rm *Room) refused(rule *guard.Rule, addr netip.Addr, detail string) {
	earlier, tell := rm.folds.pass(rule, addr.String())
	if !tell {
		return
	}
	if earlier > 0 {
		detail = fmt.Sprintf("%s; %d earlier ones were not told", detail, earlier)
	}
	rm.record(guard.Event{Time: time.Now(), Rule: rule, Verdict: guard.Denied, Detail: detail, Client: addr})
}
