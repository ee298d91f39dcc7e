package https_test

import (
	"context"
	"crypto/tls"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/https"
	"hauberk.dev/internal/attack"
	"hauberk.dev/internal/settings"
)

// TestTheAttacksOfThisRoomFail replays attacks/* against the room alone.
func TestTheAttacksOfThisRoomFail(t *testing.T) {
	files := newRoom(t, https.Config{}, https.Options{}).Principle().Files
	names, err := fs.Glob(files, "attacks/*.attack")
	if err != nil || len(names) == 0 {
		t.Fatalf("got %v %v, want attack files", names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		cases, err := attack.Parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			if c.OtherSNI {
				continue // TestOnlyServedNamesGetACertificate reads the alert itself
			}
			t.Run(c.Title, func(t *testing.T) {
				if _, err := attack.Replay(t.Context(), c, door(t, c)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// door opens the room for c, with what the root would set around it.
func door(t *testing.T, c attack.Case) attack.Door {
	t.Helper()
	d := attack.Door{App: &attack.App{}, Journal: &attack.Journal{}}
	r := newRoom(t, section(t, c.Config), https.Options{Hosts: []string{attack.DefaultHost}, Record: d.Journal.Record})
	chain := r.Principle().Wrap(d.App)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		x := &guard.Exchange{Secure: q.TLS != nil, Route: &guard.Route{}, Method: q.Method, Sink: d.Journal.Record}
		chain.ServeHTTP(w, q.WithContext(guard.With(q.Context(), x)))
	}))
	secure, err := tls.Listen("tcp", "127.0.0.1:0", r.TLS())
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	go s.Config.Serve(secure)
	t.Cleanup(func() { secure.Close(); s.Close() })
	d.Dial = func(ctx context.Context, p attack.Protocol, sni string) (net.Conn, error) {
		if p == attack.Clear {
			return new(net.Dialer).DialContext(ctx, "tcp", s.Listener.Addr().String())
		}
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool(r.CA()), ServerName: sni, NextProtos: []string{string(p)}}}
		return dialer.DialContext(ctx, "tcp", secure.Addr().String())
	}
	return d
}

// section reads the https section of a YAML text.
func section(t *testing.T, text string) https.Config {
	t.Helper()
	var all struct {
		HTTPS https.Config `yaml:"https"`
	}
	if _, err := settings.Decode("config.yaml", []byte(text), &all); err != nil {
		t.Fatal(err)
	}
	return all.HTTPS
}

// TestTheConfigFileHoldsTheDefaults holds config.yaml against the code.
func TestTheConfigFileHoldsTheDefaults(t *testing.T) {
	text, err := fs.ReadFile(newRoom(t, https.Config{}, https.Options{}).Principle().Files, "config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := section(t, string(text))
	if got.HSTS != 0 || got.MinTLS != "1.2" || got.Port != 0 || len(got.Certificates) != 0 ||
		got.HSTSSubdomains || got.HSTSPreload || got.HSTSLocal || got.HSTSWithdraw {
		t.Errorf("got %+v, want the defaults", got)
	}
}
