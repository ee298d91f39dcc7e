// Package harden refuses what two parsers could read differently, and what a
// server should never have shown.
//
// A request that the gateway and the application understand in two ways is how
// rules are passed by: so what is not plain HTTP is refused, nothing is
// repaired, and what was decided on goes up byte for byte. Sizes, pace and
// numbers are bounded, so that one client cannot take what belongs to all.
package harden

import (
	"embed"
	"hash/maphash"
	"net/http"
	"net/netip"
	"slices"

	"hauberk.dev/guard"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Room is the harden principle at work.
type Room struct {
	top    settings
	routes []settings // by Route.N; 0 is the top level
	record func(guard.Event)
	folds  folds
	names  map[string]kind // what New adds to the fixed list
	seen   seen
	own    map[string]bool
	held   *census
}

// New validates c. record takes the events that belong to no request; nil
// drops them.
func New(c Config, record func(guard.Event)) (*Room, error) {
	s, err := c.resolve()
	if err != nil {
		return nil, err
	}
	if record == nil {
		record = func(guard.Event) {}
	}
	rm := &Room{top: s, routes: []settings{s}, record: record, held: &census{clients: map[netip.Addr]int{}},
		names: map[string]kind{}, own: map[string]bool{}}
	rm.seen.seed = maphash.MakeSeed()
	for _, name := range s.IdentityHeaders {
		rm.names[http.CanonicalHeaderKey(name)] = identity
	}
	for _, name := range s.UnderscoreHeaders {
		rm.names[http.CanonicalHeaderKey(name)] = listed
	}
	return rm, nil
}

// Route sets what holds for route number n. Only methods and served may
// differ from the top level: all else is decided before a route is known.
func (rm *Room) Route(n int, c Config) error {
	s, err := c.resolve()
	if err != nil {
		return err
	}
	if err := s.sameListener(&rm.top); err != nil {
		return err
	}
	for len(rm.routes) <= n {
		rm.routes = append(rm.routes, rm.top)
	}
	rm.routes[n] = s
	return nil
}

// Own keeps a path below /.hauberk/ for a room that serves it; every other
// path there is refused. The root calls it before the first request.
func (rm *Room) Own(paths ...string) {
	for _, p := range paths {
		rm.own[p] = true
	}
}

// Principle labels the room. Its Wrap stands before the route is matched;
// Routed stands after it.
func (rm *Room) Principle() *guard.Principle {
	return &guard.Principle{
		Name: "harden", Number: 14, Rules: rules(), Files: files,
		Wrap: rm.wrap, Server: rm.server, Conn: rm.conn,
	}
}

func rules() []*guard.Rule {
	return []*guard.Rule{framing, requestLine, headSize, slow, expectation, version,
		target, encodedSlash, host, unknownHost, method, override,
		headerAlias, headerName, identityHeader, underscoreHeader, connectionOption, upgrade,
		dotfile, backup, ownPath, exposed, connections, strangeProxy, unnamed, resets}
}

// wrap is the way in before the route is known, and the clock of the body.
func (rm *Room) wrap(next http.Handler) http.Handler {
	in := guard.Amend(answering)(guard.Check(rm.admit)(guard.Watch(rm.look)(next)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor >= 2 {
			rm.stream(w, r, in)
			return
		}
		if c := find(guard.Conn(r.Context())); c != nil {
			defer c.Returned()
		}
		if len(r.TransferEncoding) > 0 {
			r.Body = &trailed{ReadCloser: r.Body, r: r, rm: rm}
		}
		in.ServeHTTP(w, r)
	})
}

// admit decides what needs no route, cheapest first.
func (rm *Room) admit(r *http.Request) error {
	x := guard.From(r.Context())
	if x.Wire == nil {
		x.Wire = Wire(r)
	}
	if x.Wire != nil {
		return x.Wire
	}
	if d := rm.sizes(r); d != nil {
		return d
	}
	if d := frame(r); d != nil {
		return d
	}
	if d := hostSyntax(r); d != nil {
		return d
	}
	path, err := Target(r)
	if err != nil {
		return err
	}
	x.Path = path
	if d := rm.clean(r, x); d != nil {
		return d
	}
	return nil
}

// Routed decides what a route may set: methods, dotfiles, backups. The root
// puts it directly behind the match.
func (rm *Room) Routed(next http.Handler) http.Handler {
	return guard.Check(rm.permit)(next)
}

func (rm *Room) permit(r *http.Request) error {
	x := guard.From(r.Context())
	s := rm.settings(x)
	if m, ok := s.unlisted(x, r); ok {
		return method.Deny("method %q is not in harden.methods", m).In("method").With("Allow", s.allow)
	}
	path := x.Path
	if path == "" {
		p, err := Target(r)
		if err != nil {
			return err
		}
		path = p
	}
	if d := rm.hidden(path, s); d != nil {
		return d
	}
	return nil
}

func (rm *Room) settings(x *guard.Exchange) *settings {
	if x.Route == nil || x.Route.N < 0 || x.Route.N >= len(rm.routes) {
		return &rm.routes[0]
	}
	return &rm.routes[x.Route.N]
}

// unlisted returns the method for which r is refused, if there is one.
func (s *settings) unlisted(x *guard.Exchange, r *http.Request) (string, bool) {
	if x.Claimed == "" && (x.Method == "" || x.Method == r.Method) {
		return r.Method, !s.allows(r.Method) // the common case makes no list
	}
	for _, m := range x.Methods(r) {
		if !s.allows(m) {
			return m, true
		}
	}
	return "", false
}

// allows says whether the method m may pass. HEAD counts as GET.
func (s *settings) allows(m string) bool {
	return slices.Contains(s.Methods, m) || m == http.MethodHead && slices.Contains(s.Methods, http.MethodGet)
}

var method = &guard.Rule{
	ID: "harden.method", Severity: guard.Low, Status: http.StatusMethodNotAllowed,
	Title: "this method is not allowed here",
	Fix:   "name the method in harden.methods, at the top or for the route",
	CWE:   650, ASVS: []string{"4.1.4", "13.4.4"}, Observable: true,
}
