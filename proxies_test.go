package hauberk_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/internal/attack"
)

// behind is a chain that trusts two networks, and what it made of the last
// request.
type behind struct {
	h      http.Handler
	client netip.Addr
	secure bool
	local  bool
	up     http.Header
}

func newBehind(t testing.TB, trusted ...string) *behind {
	t.Helper()
	c := hauberk.Unmodified("")
	for _, p := range trusted {
		c.Proxies = append(c.Proxies, netip.MustParsePrefix(p))
	}
	b := &behind{}
	c.Logger = slog.New(slog.DiscardHandler)
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.h = chain.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		x := guard.From(r.Context())
		b.client, b.secure, b.local, b.up = x.Client, x.Secure, x.Local, r.Header
	}))
	return b
}

// ask sends a request from an address; headers come in pairs.
func (b *behind) ask(remote string, https bool, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host, r.RemoteAddr, r.RequestURI = "localhost", remote, "/"
	r.TLS = nil
	if https {
		r.TLS = &tls.ConnectionState{}
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.client, b.secure, b.local, b.up = netip.Addr{}, false, false, nil
	b.h.ServeHTTP(w, r)
	return w
}

func TestTheClientIsTheRightmostAddressThatNoTrustedProxyHas(t *testing.T) {
	b := newBehind(t, "10.0.0.0/24", "2001:db8:ff::/48", "127.0.0.1/32")
	const proxy = "10.0.0.5:4711"
	for _, row := range []struct {
		name, remote string
		fields       []string
		want         string
	}{
		{"one address", proxy, []string{"203.0.113.7"}, "203.0.113.7"},
		{"what the client wrote stands left of it", proxy, []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		{"a trusted address that the client wrote", proxy, []string{"10.0.0.9, 203.0.113.7"}, "203.0.113.7"},
		{"two trusted proxies", proxy, []string{"198.51.100.1, 203.0.113.7, 10.0.0.6"}, "203.0.113.7"},
		{"several fields", proxy, []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7"},
		{"several fields with a trusted one last", proxy, []string{"198.51.100.1, 203.0.113.7", "10.0.0.6"}, "203.0.113.7"},
		{"nobody but trusted ones", proxy, []string{"10.0.0.7, 10.0.0.6"}, "10.0.0.7"},
		{"no field", proxy, nil, "10.0.0.5"},
		{"an empty field", proxy, []string{""}, "10.0.0.5"},
		{"an empty entry at the end", proxy, []string{"203.0.113.7, "}, "10.0.0.5"},
		{"garbage left of the client", proxy, []string{"<script>, ,,, 203.0.113.7"}, "203.0.113.7"},
		{"garbage where the client should be", proxy, []string{"203.0.113.7, unknown"}, "10.0.0.5"},
		{"garbage behind a second proxy", proxy, []string{"203.0.113.7, _hidden, 10.0.0.6"}, "10.0.0.6"},
		{"blanks and tabs", proxy, []string{" \t203.0.113.7\t "}, "203.0.113.7"},
		{"other blanks are no blanks", proxy, []string{"203.0.113.7\u00a0"}, "10.0.0.5"},
		{"a port", proxy, []string{"203.0.113.7:50123"}, "203.0.113.7"},
		{"a port that is none", proxy, []string{"203.0.113.7:99999"}, "10.0.0.5"},
		{"IPv6", proxy, []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 in brackets", proxy, []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6 with a port", proxy, []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"IPv4 in brackets", proxy, []string{"[203.0.113.7]"}, "10.0.0.5"},
		{"a zone", proxy, []string{"fe80::1%eth0"}, "10.0.0.5"},
		{"a mapped address", proxy, []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"a mapped trusted address", proxy, []string{"203.0.113.7, ::ffff:10.0.0.6"}, "203.0.113.7"},
		{"a trusted IPv6 proxy in between", proxy, []string{"203.0.113.7, 2001:db8:ff::1"}, "203.0.113.7"},
		{"leading zeros", proxy, []string{"010.0.0.1"}, "10.0.0.5"},
		{"quotes", proxy, []string{`"203.0.113.7"`}, "10.0.0.5"},
		{"no address that a client has", proxy, []string{"0.0.0.0"}, "10.0.0.5"},
		{"a mapped proxy", "[::ffff:10.0.0.5]:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		{"an IPv6 proxy", "[2001:db8:ff::9]:4711", []string{"203.0.113.7"}, "203.0.113.7"},
		{"a stranger", "198.51.100.66:4711", []string{"203.0.113.7"}, "198.51.100.66"},
		{"a stranger who poses as a proxy", "198.51.100.66:4711", []string{"203.0.113.7, 10.0.0.5"}, "198.51.100.66"},
		{"a neighbour of the proxies", "10.0.1.5:4711", []string{"203.0.113.7"}, "10.0.1.5"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var headers []string
			for _, f := range row.fields {
				headers = append(headers, "X-Forwarded-For", f)
			}
			b.ask(row.remote, true, headers...)
			if b.client.String() != row.want {
				t.Errorf("got %v, want %s", b.client, row.want)
			}
			if b.up["X-Forwarded-For"] != nil {
				t.Errorf("got %q inside the chain, want no copy of it", b.up["X-Forwarded-For"])
			}
		})
	}
}

func TestNoOtherHeaderNamesTheClient(t *testing.T) {
	b := newBehind(t, "10.0.0.0/24")
	for _, name := range []string{"Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Envoy-External-Address"} {
		b.ask("10.0.0.5:1", true, name, "203.0.113.7")
		if b.client.String() != "10.0.0.5" {
			t.Errorf("%s: got %v, want the proxy", name, b.client)
		}
	}
}

func TestTLSIsWhatATrustedProxySaysAndNobodyElse(t *testing.T) {
	b := newBehind(t, "10.0.0.0/24")
	for _, row := range []struct {
		name, remote string
		https        bool
		proto        []string
		want         bool
	}{
		{"https, said by the proxy", "10.0.0.5:1", false, []string{"https"}, true},
		{"in capitals", "10.0.0.5:1", false, []string{"HTTPS"}, true},
		{"a WebSocket", "10.0.0.5:1", false, []string{"wss"}, true},
		{"http, said over TLS", "10.0.0.5:1", true, []string{"http"}, false},
		{"nothing, in clear text", "10.0.0.5:1", false, nil, false},
		{"nothing, over TLS", "10.0.0.5:1", true, nil, true},
		{"one hop in clear text", "10.0.0.5:1", false, []string{"https, http"}, false},
		{"two fields that differ", "10.0.0.5:1", false, []string{"https", "http"}, false},
		{"an empty word", "10.0.0.5:1", false, []string{"https,"}, false},
		{"garbage", "10.0.0.5:1", false, []string{"httpss"}, false},
		{"a stranger", "198.51.100.66:1", false, []string{"https"}, false},
		{"a stranger over TLS", "198.51.100.66:1", true, []string{"http"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			headers := []string{"X-Forwarded-For", "203.0.113.7"}
			for _, p := range row.proto {
				headers = append(headers, "X-Forwarded-Proto", p)
			}
			w := b.ask(row.remote, row.https, headers...)
			if got := b.up != nil; got != row.want || row.want && !b.secure {
				t.Errorf("got status %d, passed %t, secure %t, want %t", w.Code, got, b.secure, row.want)
			}
		})
	}
}

// TestNobodyBehindAProxyIsADeveloperAtTheMachine holds the incident page, which
// tells a local client more, against proxies on the same machine.
func TestNobodyBehindAProxyIsADeveloperAtTheMachine(t *testing.T) {
	b := newBehind(t, "127.0.0.1/32")
	for _, headers := range [][]string{nil, {"X-Forwarded-For", "127.0.0.1"}, {"X-Forwarded-For", "127.0.0.2"}} {
		if b.ask("127.0.0.1:1", true, headers...); b.local {
			t.Errorf("%v: got a local client, want a stranger", headers)
		}
	}
	if b.ask("127.0.0.2:1", true); !b.local {
		t.Error("got a stranger, want the developer who came directly")
	}
}

func TestMistakesAboutProxiesStopTheStart(t *testing.T) {
	for _, row := range []struct{ config, want string }{
		{"trusted_proxies: [0.0.0.0/0]", "trusted_proxies[0]: 0.0.0.0/0: everybody would be believed"},
		{"trusted_proxies: [0.0.0.0/1, 128.0.0.0/1]", "trusted_proxies: 0.0.0.0/1, 128.0.0.0/1: together they are half of all addresses or more"},
		{"trusted_proxies: [0.0.0.0/2, 64.0.0.0/3, 128.0.0.0/4]", "trusted_proxies: 0.0.0.0/2, 64.0.0.0/3, 128.0.0.0/4: together they are half"},
		{"trusted_proxies: ['::/1']", "trusted_proxies: ::/1: together they are half"},
		{"trusted_proxies: ['2000::/5', '2800::/5']", "trusted_proxies: 2000::/5, 2800::/5: together they are half"},
		{"trusted_proxies: ['::ffff:10.0.0.0/104']", "trusted_proxies[0]: ::ffff:10.0.0.0/104: write a mapped address as IPv4"},
		{"trusted_proxies: [10.0.0.5/24]", "trusted_proxies[0]: 10.0.0.5/24: has bits behind its length: want 10.0.0.0/24"},
		{"proxy_protocol: true", "proxy_protocol: nobody may send it"},
		{"proxy_http: ':8080'", "proxy_http: nobody may use it"},
		{"listen: none", "listen: none: nothing would be served"},
	} {
		c, _, err := hauberk.Parse("hauberk.yaml", []byte(row.config))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hauberk.New(c, nil); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", row.config, err, row.want)
		}
	}
}

func FuzzTheClientIsNeverWhatAStrangerWrote(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "10.0.0.9", "a,b", ",,", "[::1]:1", "10.0.0.1,", "::ffff:10.0.0.1"} {
		f.Add(s)
	}
	b := newBehind(f, "10.0.0.0/24")
	f.Fuzz(func(t *testing.T, forged string) {
		if strings.ContainsAny(forged, "\r\n\x00") || len(forged) > 4096 {
			return
		}
		b.ask("10.0.0.5:1", true, "X-Forwarded-For", forged+", 203.0.113.7", "X-Forwarded-For", "10.0.0.6")
		if b.client.IsValid() && b.client.String() != "203.0.113.7" {
			t.Errorf("%q: got %v, want what the proxies wrote", forged, b.client)
		}
		b.ask("198.51.100.66:1", true, "X-Forwarded-For", forged)
		if b.client.IsValid() && b.client.String() != "198.51.100.66" {
			t.Errorf("%q: got %v, want the address that connected", forged, b.client)
		}
	})
}

// clientOf says what the chain knows about a request: client and scheme.
func clientOf(r *http.Request) string {
	x := guard.From(r.Context())
	scheme := "http"
	if x.Secure {
		scheme = "https"
	}
	return x.Client.String() + " " + scheme
}

// TestAReloadWithdrawsTheTrustInProxies asks on one connection before and
// after. Trust that outlived the reload would last as long as whoever lost it
// keeps a connection busy.
func TestAReloadWithdrawsTheTrustInProxies(t *testing.T) {
	for _, row := range []struct{ name, config, header, left, before, after string }{
		{"X-Forwarded-For", "", "", "127.0.0.5/32", "203.0.113.8 https", "127.0.0.1 https"},
		{"a PROXY header", "proxy_protocol: true\n", v1, "127.0.0.5/32", "203.0.113.7 https", "127.0.0.1 https"},
		{"a proxy behind the balancer", "proxy_protocol: true\n", "PROXY TCP4 127.0.0.5 192.0.2.1 1 443\r\n", "127.0.0.1/32",
			"203.0.113.8 https", "127.0.0.5 https"},
		{"what is still trusted", "proxy_protocol: true\n", v1, "127.0.0.1/32", "203.0.113.7 https", "203.0.113.7 https"},
	} {
		for _, protocol := range []string{"http/1.1", "h2"} {
			t.Run(row.name+", "+protocol, func(t *testing.T) {
				j := &attack.Journal{}
				app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, clientOf(r)) })
				r := serveReloading(t, chainOf(t, j, oneSite+row.config+"trusted_proxies: [127.0.0.1/32, 127.0.0.5/32]\n"), j, app)
				dialled := 0
				tr := &http.Transport{ForceAttemptHTTP2: protocol == "h2", DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
					dialled++
					c := overTLS(knock(t, "127.0.0.1", r.secure.Addr(), row.header), protocol).(*tls.Conn)
					return c, c.Handshake()
				}}
				defer tr.CloseIdleConnections()
				ask := func() string {
					req, _ := http.NewRequest(http.MethodGet, "https://localhost/", nil)
					req.Header.Set("X-Forwarded-For", "203.0.113.8")
					res, err := tr.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					body, _ := io.ReadAll(res.Body)
					return string(body)
				}
				if got := ask(); got != row.before {
					t.Errorf("before the reload: got %q, want %q", got, row.before)
				}
				if err := r.Swap(chainOf(t, j, oneSite+row.config+"trusted_proxies: ["+row.left+"]\n"), app); err != nil {
					t.Fatal(err)
				}
				if got := ask(); got != row.after || dialled != 1 {
					t.Errorf("after it, on connection %d: got %q, want %q on the first", dialled, got, row.after)
				}
			})
		}
	}
}

func TestWhoIsBelievedIsSaidAtTheStart(t *testing.T) {
	const says = ": believed about who the client is, and whether it came over https"
	for _, c := range []struct {
		trusted []string
		tooMany bool
	}{
		{nil, false},
		{[]string{"10.0.0.5/32", "2001:db8:ff::/48"}, false},
		{[]string{"10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8", "2001:db8::/32"}, false},
		{[]string{"10.0.0.0/7"}, true},
		{[]string{"10.0.0.0/8", "172.16.0.0/12"}, true},
		{[]string{"0.0.0.0/2"}, true},
		{[]string{"2001:d00::/24"}, true},
		{[]string{"fc00::/7"}, true},
		{[]string{"8000::/1"}, true},
	} {
		config := hauberk.Unmodified("")
		for _, p := range c.trusted {
			config.Proxies = append(config.Proxies, netip.MustParsePrefix(p))
		}
		config.Logger = slog.New(slog.DiscardHandler)
		chain, err := hauberk.New(config, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if c.trusted != nil {
			want = strings.Join(c.trusted, ", ") + says
		}
		who, tooMany := chain.Believed()
		if !strings.HasPrefix(who, want) || (who == "") != (want == "") || tooMany != c.tooMany || strings.Contains(who, "; that is more than") != c.tooMany {
			t.Errorf("%v: got %q, too many: %t; want %q, %t", c.trusted, who, tooMany, want, c.tooMany)
		}
		if said := slices.Contains(chain.Notes(), "trusted_proxies: "+who); said != (who != "") {
			t.Errorf("%v: got the notes %q", c.trusted, chain.Notes())
		}
	}
}
