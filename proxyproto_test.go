package hauberk_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"hauberk.dev"
	"hauberk.dev/internal/attack"
)

// gate is a server with its three doors on loopback. 127.0.0.1 is the trusted
// proxy, every other loopback address a stranger.
type gate struct {
	secure, clear, proxies net.Addr
	journal                *attack.Journal
}

func openGate(t testing.TB, config string) *gate {
	t.Helper()
	c, _, err := hauberk.Parse("hauberk.yaml", []byte("trusted_proxies: [127.0.0.1/32]\nsites: [{access: app, headers: compat}]\n"+config))
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{journal: &attack.Journal{}}
	c.Record, c.Logger = g.journal.Record, slog.New(slog.DiscardHandler)
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := chain.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, clientOf(r))
	}))
	t.Cleanup(func() { s.Close() })
	for addr, serve := range map[*net.Addr]func(net.Listener) error{
		&g.secure: s.Serve, &g.clear: s.ServeClear, &g.proxies: s.ServeProxies} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*addr = l.Addr()
		go serve(l)
	}
	return g
}

// knock connects from an address and sends bytes, the PROXY header, first.
func knock(t testing.TB, from string, to net.Addr, first string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, first)
	return c
}

// asks sends GET / and returns status and body, or why there are none.
func asks(c net.Conn, headers ...string) string {
	if len(headers) > 0 {
		headers = append(headers, "")
	}
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", strings.Join(headers, "\r\n"))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "closed"
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return res.Status
	}
	return string(body)
}

func overTLS(c net.Conn, protocol string) net.Conn {
	return tls.Client(c, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, NextProtos: []string{protocol}})
}

const v1 = "PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n"

// v2 writes a header of version 2 for a command and a source.
func v2(command byte, source string, tlv ...byte) string {
	a, b := netip.MustParseAddr(source), netip.MustParseAddr("192.0.2.1")
	family := byte(0x11)
	if a.Is6() {
		family, b = 0x21, netip.MustParseAddr("2001:db8::1")
	}
	var body bytes.Buffer
	body.Write(a.AsSlice())
	body.Write(b.AsSlice())
	binary.Write(&body, binary.BigEndian, [2]uint16{50000, 443})
	body.Write(tlv)
	head := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family)
	return string(binary.BigEndian.AppendUint16(head, uint16(body.Len()))) + body.String()
}

func TestAPROXYHeaderNamesTheClient(t *testing.T) {
	g := openGate(t, "proxy_protocol: true")
	for _, row := range []struct{ name, header, want string }{
		{"version 1", v1, "203.0.113.7 https"},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n", "2001:db8::7 https"},
		{"version 1, mapped", "PROXY TCP6 ::ffff:203.0.113.7 2001:db8::1 50000 443\r\n", "203.0.113.7 https"},
		{"version 1 without an address", "PROXY UNKNOWN\r\n", "127.0.0.1 https"},
		{"version 2", v2(1, "203.0.113.7"), "203.0.113.7 https"},
		{"version 2, IPv6", v2(1, "2001:db8::7"), "2001:db8::7 https"},
		{"version 2, mapped", v2(1, "::ffff:203.0.113.7"), "203.0.113.7 https"},
		{"version 2 with more in it", v2(1, "203.0.113.7", 4, 0, 1, 0), "203.0.113.7 https"},
		{"version 2, of the balancer itself", v2(0, "203.0.113.7"), "127.0.0.1 https"},
	} {
		t.Run(row.name, func(t *testing.T) {
			forged := []string{"X-Forwarded-For: 198.51.100.9", "X-Forwarded-Proto: http", "X-Real-IP: 198.51.100.9"}
			if got := asks(overTLS(knock(t, "127.0.0.1", g.secure, row.header), "http/1.1"), forged...); got != row.want {
				t.Errorf("got %q, want %q and nothing from the forged header", got, row.want)
			}
		})
	}
	t.Run("in pieces", func(t *testing.T) {
		for _, header := range []string{v1, v2(1, "203.0.113.7")} {
			c := knock(t, "127.0.0.1", g.secure, "")
			for i := range len(header) {
				io.WriteString(c, header[i:i+1])
				time.Sleep(time.Millisecond)
			}
			if got := asks(overTLS(c, "http/1.1")); got != "203.0.113.7 https" {
				t.Errorf("%q: got %q, want its client", header, got)
			}
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		tr := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
			c := overTLS(knock(t, "127.0.0.1", g.secure, v1), "h2").(*tls.Conn)
			return c, c.Handshake()
		}}
		defer tr.CloseIdleConnections()
		r, _ := http.NewRequest(http.MethodGet, "https://localhost/", nil)
		r.Header.Set("X-Forwarded-For", "198.51.100.9")
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); string(body) != "203.0.113.7 https" || res.ProtoMajor != 2 {
			t.Errorf("got %q over %s, want the client of the header", body, res.Proto)
		}
	})
	t.Run("clear text on both ports", func(t *testing.T) {
		for _, addr := range []net.Addr{g.secure, g.clear} {
			if got := asks(knock(t, "127.0.0.1", addr, v1), "Accept: text/html"); !strings.HasPrefix(got, "308") {
				t.Errorf("got %q, want a redirect", got)
			}
		}
	})
	t.Run("a proxy for HTTP behind a balancer", func(t *testing.T) {
		got := asks(overTLS(knock(t, "127.0.0.1", g.secure, "PROXY TCP4 127.0.0.1 192.0.2.1 1 443\r\n"), "http/1.1"), "X-Forwarded-For: 203.0.113.8")
		if got != "203.0.113.8 https" {
			t.Errorf("got %q, want what the named proxy says", got)
		}
	})
}

func TestAConnectionWithoutAPROXYHeaderIsClosed(t *testing.T) {
	g := openGate(t, "proxy_protocol: true\nharden: {header_time: 300ms}")
	for _, row := range []struct{ name, first string }{
		{"nothing but TLS", ""},
		{"a request", "GET / HTTP/1.1\r\n"},
		{"half a header", "PROXY TCP4 203.0.113.7"},
		{"a longer word", "PROXYX TCP4 203.0.113.7 192.0.2.1 1 443\r\n"},
		{"a port that is none", "PROXY TCP4 203.0.113.7 192.0.2.1 99999 443\r\n"},
		{"the wrong family", "PROXY TCP4 2001:db8::7 192.0.2.1 1 443\r\n"},
		{"a line without end", "PROXY " + strings.Repeat("A", 300)},
		{"an address of nobody", "PROXY TCP4 0.0.0.0 192.0.2.1 1 443\r\n"},
		{"UDP", strings.Replace(v2(1, "203.0.113.7"), "\x21\x11", "\x21\x12", 1)},
		{"a length too short", strings.Replace(v2(1, "203.0.113.7"), "\x21\x11\x00\x0c", "\x21\x11\x00\x04", 1)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			if got := asks(overTLS(knock(t, "127.0.0.1", g.secure, row.first), "http/1.1")); got != "closed" {
				t.Errorf("got %q, want a closed door", got)
			}
			if got := asks(knock(t, "127.0.0.1", g.clear, row.first)); got != "closed" {
				t.Errorf("got %q in clear text, want a closed door", got)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("took %v, want the header's own clock", d)
			}
		})
	}
	for _, half := range []string{"", "P", v1[:20], v2(1, "203.0.113.7")[:20]} {
		t.Run(fmt.Sprintf("silence after %q", half), func(t *testing.T) {
			t.Parallel()
			c := knock(t, "127.0.0.1", g.secure, half)
			if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %d bytes, %v, want a closed door", n, err)
			}
		})
	}
	t.Cleanup(func() { g.saw(t, "harden.proxy-header") })
}

// saw fails the test unless a rule was recorded.
func (g *gate) saw(t testing.TB, rule string) {
	t.Helper()
	for range 100 {
		for _, e := range g.journal.Events() {
			if e.Rule.ID == rule {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("got no event of %s", rule)
}

func TestADoorForProxiesIsClosedToAllOthers(t *testing.T) {
	g := openGate(t, "proxy_protocol: true")
	for _, addr := range []net.Addr{g.secure, g.clear} {
		if got := asks(overTLS(knock(t, "127.0.0.2", addr, v1), "http/1.1")); got != "closed" {
			t.Errorf("got %q for a stranger with a PROXY header, want a closed door", got)
		}
	}
	if got := asks(knock(t, "127.0.0.2", g.proxies, ""), "X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.7"); got != "closed" {
		t.Errorf("got %q for a stranger at proxy_http, want a closed door", got)
	}
	g.saw(t, "harden.untrusted-proxy")
	if got := asks(knock(t, "127.0.0.1", g.proxies, ""), "X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.7"); got != "203.0.113.7 https" {
		t.Errorf("got %q for the trusted proxy, want its client", got)
	}
	if got := asks(knock(t, "127.0.0.1", g.proxies, ""), "X-Forwarded-Proto: http", "X-Forwarded-For: 203.0.113.7"); !strings.HasPrefix(got, "403") {
		t.Errorf("got %q for a client in clear text, want a refusal", got)
	}
}

func TestStrangersArePlainClientsAtTheOpenDoors(t *testing.T) {
	g := openGate(t, "")
	forged := []string{"X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "Forwarded: for=203.0.113.7"}
	if got := asks(overTLS(knock(t, "127.0.0.2", g.secure, ""), "http/1.1"), forged...); got != "127.0.0.2 https" {
		t.Errorf("got %q, want the address that connected", got)
	}
	if got := asks(knock(t, "127.0.0.2", g.clear, ""), forged...); !strings.HasPrefix(got, "403") {
		t.Errorf("got %q, want clear text to be refused whatever it says", got)
	}
	if got := asks(overTLS(knock(t, "127.0.0.2", g.secure, v1), "http/1.1")); got != "closed" && !strings.HasPrefix(got, "400") {
		t.Errorf("got %q for a PROXY header that nobody asked for, want a refusal", got)
	}
}

func TestTheCapOfConnectionsCountsClientsAndNotProxies(t *testing.T) {
	t.Run("a trusted proxy is exempt", func(t *testing.T) {
		g := openGate(t, "harden: {connections: 2}")
		for range 5 {
			knock(t, "127.0.0.1", g.secure, "")
		}
		if got := asks(overTLS(knock(t, "127.0.0.1", g.secure, ""), "http/1.1"), "X-Forwarded-For: 203.0.113.7"); got != "203.0.113.7 https" {
			t.Errorf("got %q, want a sixth connection of the proxy", got)
		}
		for range 2 {
			knock(t, "127.0.0.3", g.secure, "")
		}
		if got := asks(overTLS(knock(t, "127.0.0.3", g.secure, ""), "http/1.1")); got != "closed" {
			t.Errorf("got %q, want a stranger's third connection closed", got)
		}
	})
	t.Run("behind a PROXY header its client counts", func(t *testing.T) {
		g := openGate(t, "proxy_protocol: true\nharden: {connections: 2}")
		for range 2 {
			c := overTLS(knock(t, "127.0.0.1", g.secure, v1), "http/1.1").(*tls.Conn)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
		}
		if got := asks(overTLS(knock(t, "127.0.0.1", g.secure, v1), "http/1.1")); got != "closed" {
			t.Errorf("got %q, want the client's third connection closed", got)
		}
		if got := asks(overTLS(knock(t, "127.0.0.1", g.secure, strings.Replace(v1, "113.7", "113.8", 1)), "http/1.1")); got != "203.0.113.8 https" {
			t.Errorf("got %q, want another client served", got)
		}
		for range 5 { // whoever it cannot name is one client
			knock(t, "127.0.0.1", g.secure, "PROXY UNKNOWN\r\n")
		}
		g.saw(t, "harden.connections")
	})
}

// TestWithoutATLSListenerAPublicNameNeedsNoCertificate serves a site whose TLS
// a proxy ends.
func TestWithoutATLSListenerAPublicNameNeedsNoCertificate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr()
	l.Close()
	c, _, err := hauberk.Parse("hauberk.yaml", []byte("listen: none\nproxy_http: "+addr.String()+
		"\ntrusted_proxies: [127.0.0.1/32]\nsites: [{hosts: [shop.example.com, localhost], access: app, headers: compat}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := chain.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, clientOf(r)) }))
	ended := make(chan error, 1)
	go func() { ended <- s.ListenAndServe() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("got %v, want the server closed", err)
		}
	})
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			c.Close()
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if got := asks(knock(t, "127.0.0.1", addr, ""), "X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.7"); got != "203.0.113.7 https" {
		t.Errorf("got %q, want the proxy's client", got)
	}
	if got := asks(knock(t, "127.0.0.1", addr, ""), "X-Forwarded-Proto: http", "Accept: text/html"); !strings.HasPrefix(got, "308") {
		t.Errorf("got %q, want a redirect", got)
	}
}
