package harden_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
	"hauberk.dev/internal/attack"
)

// overlays are the configurations of the attack files.
var overlays = map[string]harden.Config{
	"":                                   {},
	"harden: {methods: [GET, PROPFIND]}": {Methods: []string{"GET", "PROPFIND"}},
	"harden: {identity_headers: [X-Employee]}": {IdentityHeaders: []string{"X-Employee"}},
	"harden: {underscore_headers: [api_key]}":  {UnderscoreHeaders: []string{"api_key"}},
	"harden: {header_time: 300ms}":             {HeaderTime: 300 * time.Millisecond},
	"harden: {served: [/.nojekyll]}":           {Served: []string{"/.nojekyll"}},
	"harden: {served: [/dumps/]}":              {Served: []string{"/dumps/"}},
}

// TestTheAttacksOfTheRoom replays what this room alone can answer: without
// sites, and around a handler.
func TestTheAttacksOfTheRoom(t *testing.T) {
	room, err := harden.New(harden.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cases, err := attack.Load(room.Principle().Files, "guard/harden")
	if err != nil {
		t.Fatal(err)
	}
	attacked := map[string]bool{}
	for _, c := range cases {
		for _, s := range c.Steps {
			for _, w := range s.Want {
				attacked[w.Rule] = true
				for _, e := range w.Events {
					attacked[e] = true
				}
			}
		}
		config, known := overlays[strings.TrimSpace(c.Config)]
		if c.Gateway || strings.Contains(c.Config, "sites:") {
			continue
		}
		t.Run(c.Title, func(t *testing.T) {
			if !known {
				t.Fatalf("%s:%d: no overlay for %q", c.File, c.Line, c.Config)
			}
			if _, err := attack.Replay(context.Background(), c, door(t, config)); err != nil {
				t.Error(err)
			}
		})
	}
	for _, r := range room.Principle().Rules {
		switch r.ID {
		case "harden.connections", "harden.resets", "harden.untrusted-proxy", "harden.proxy-header":
			continue // connections, not requests: proven by tests in Go
		}
		if !attacked[r.ID] {
			t.Errorf("no attack for %s", r.ID)
		}
	}
}

// switched hands TLS connections to net/http as the root does: HTTP/2 bare,
// HTTP/1 checked.
type switched struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l switched) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		s := c.(*tls.Conn)
		if s.Handshake() != nil {
			c.Close()
			continue
		}
		if s.ConnectionState().NegotiatedProtocol == "h2" {
			return s, nil
		}
		return l.wrap(s), nil
	}
}

func door(t *testing.T, c harden.Config) attack.Door {
	t.Helper()
	app, journal := &attack.App{}, &attack.Journal{}
	room, err := harden.New(c, journal.Record)
	if err != nil {
		t.Fatal(err)
	}
	p := room.Principle()
	sites := guard.Check(func(r *http.Request) error {
		if !strings.EqualFold(r.Host, "app.test") {
			return harden.UnknownHost(r.Host)
		}
		return nil
	})
	chain := p.Wrap(sites(room.Routed(app)))
	var ids atomic.Int64
	named := guard.Amend(func(h http.Header, r *http.Request, _ int) error {
		h.Set("X-Request-Id", guard.From(r.Context()).ID)
		return nil
	})
	chain = named(chain)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr, _ := netip.ParseAddrPort(r.RemoteAddr)
		id := strconv.FormatInt(ids.Add(1), 10)
		x := &guard.Exchange{ID: id, Method: r.Method, Client: addr.Addr(), Route: &guard.Route{}, Sink: journal.Record, Secure: true}
		chain.ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return room.Context(guard.WithConn(ctx, c), c)
	}
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateHijacked {
			harden.Hijacked(c)
		}
	}
	p.Server(s.Config)
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	certificate.Close()
	config := certificate.TLS.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	s.Listener = switched{tls.NewListener(s.Listener, config), p.Conn}
	s.Start()
	t.Cleanup(s.Close)
	return attack.Door{App: app, Journal: journal, Dial: func(ctx context.Context, pr attack.Protocol, sni string) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: sni, NextProtos: []string{string(pr)}}}
		return d.DialContext(ctx, "tcp", s.Listener.Addr().String())
	}}
}
