package e2e_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// paced limits every client to three requests, for as long as a test takes.
const paced = "ratelimit: 3/h\n"

// forgery is what a stranger says about himself, another story each time. The
// names are those that nginx, Apache, Express, Rails, Spring, WordPress and
// the large CDNs read.
func forgery(n int) http.Header {
	addr := fmt.Sprintf("198.51.100.%d", n)
	h := http.Header{"Forwarded": {"for=" + addr + ";proto=http;host=evil.test"}, "X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Server": {"evil.test"},
		"X-Forwarded-Proto": {"http"}, "X-Forwarded-Protocol": {"http"}, "X-Forwarded-Scheme": {"http"}, "X-Forwarded-Ssl": {"off"},
		"X-Forwarded-Port": {"1"}, "X-Forwarded-Prefix": {"/evil"}, "X-Url-Scheme": {"http"}, "X-Original-Url": {"/evil"}, "X-Rewrite-Url": {"/evil"}, "X-Host": {"evil.test"}}
	for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "X-Forwarded", "Forwarded-For", "X-Cluster-Client-Ip",
		"True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip", "Fly-Client-Ip", "X-Envoy-External-Address", "X-Original-Forwarded-For", "X-Remote-Addr"} {
		h.Set(name, addr)
	}
	return h
}

// mirror is an app that answers with the header that it was sent.
func mirror(t *testing.T) string {
	return app(t, func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(r.Header) })
}

// asked sends one request with a header, and returns the status, 0 where the
// connection was closed, and what the app was sent.
func asked(t testing.TB, c *http.Client, url string, h http.Header) (status int, sent http.Header) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = h
	res, err := c.Do(r)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Fatal(err)
		}
	}
	return res.StatusCode, sent
}

// floods asks ten times, with a forgery of its own each time, and holds that
// three are served, all of them as those of client.
func floods(t *testing.T, c *http.Client, url, client string) {
	t.Helper()
	count := map[int]int{}
	for n := range 10 {
		status, sent := asked(t, c, url, forgery(n))
		if count[status]++; status == http.StatusOK {
			onlyTells(t, sent, client)
		}
	}
	if count[http.StatusOK] != 3 || count[http.StatusTooManyRequests] != 7 {
		t.Errorf("%s: got %v, want 3 served and 7 refused", client, count)
	}
}

// onlyTells holds that an app was told who the client is by the gate, and that
// nothing of a forgery reached it.
func onlyTells(t *testing.T, sent http.Header, client string) {
	t.Helper()
	host := sent.Get("X-Forwarded-Host")
	if name, _, _ := strings.Cut(host, ":"); name != "localhost" {
		t.Errorf("the app was told the host %q, want the one that was asked for", host)
	}
	node := client
	if strings.Contains(client, ":") {
		node = `"[` + client + `]"`
	}
	for name, want := range map[string]string{"X-Forwarded-For": client, "X-Forwarded-Proto": "https", "X-Forwarded-Host": host,
		"Forwarded": "for=" + node + `;host="` + host + `";proto=https`} {
		if got := sent[name]; len(got) != 1 || got[0] != want {
			t.Errorf("the app was told %s: %q, want %q", name, got, want)
		}
		delete(sent, name)
	}
	for name := range forgery(0) {
		if got, ok := sent[name]; ok {
			t.Errorf("the app was told %s: %q, which a stranger wrote", name, got)
		}
	}
}

// TestLimitsBehindNginx holds that nginx is not the client: who sits behind it
// has a bucket of his own, one, whatever he says about himself.
func TestLimitsBehindNginx(t *testing.T) {
	site := paced + "sites: [{to: " + mirror(t) + ", access: app, headers: compat}]\ntrusted_proxies: [" + balancer + "/32]\n"
	plain := freePort(t)
	web := configured(t, site+"proxy_http: 127.0.0.1:"+plain+"\n")
	tcp := configured(t, site+"proxy_protocol: true\n")
	viaHTTP, viaTLS, viaTCP := nginx(t, plain, web.port, tcp.port)
	for i, row := range []struct{ name, url string }{
		{"X-Forwarded-For, clear text to proxy_http", "http://localhost:" + viaHTTP},
		{"X-Forwarded-For, TLS to listen", "http://localhost:" + viaTLS},
		{"PROXY protocol, TLS through it", "https://localhost:" + viaTCP},
	} {
		t.Run(row.name, func(t *testing.T) {
			for n := range 2 {
				client := fmt.Sprintf("127.0.%d.%d", i+1, n+1)
				floods(t, from(client), row.url+"/", client)
			}
		})
	}
	t.Run("around it", func(t *testing.T) {
		floods(t, from(outsider), "https://localhost:"+web.port+"/", outsider)
	})
}

// TestForgedClientsFromOutside asks a gate that trusts no proxy at all, in both
// versions of HTTP.
func TestForgedClientsFromOutside(t *testing.T) {
	g := configured(t, paced+"sites: [{to: "+mirror(t)+", access: app, headers: compat}]\n")
	for i, protocol := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP/%d", protocol), func(t *testing.T) {
			client := fmt.Sprintf("127.0.4.%d", i+1)
			c := from(client)
			c.Transport.(*http.Transport).ForceAttemptHTTP2 = protocol == 2
			floods(t, c, g.url("/"), client)
			for _, name := range []string{"x_forwarded_for", "X-Forwarded_For", "x.forwarded.for", "x_real_ip", "X_Forwarded-Host"} {
				c := from(fmt.Sprintf("127.0.5.%d", i+1)) // a refusal of the name comes before the pace
				if status, _ := asked(t, c, g.url("/"), http.Header{name: {"198.51.100.9"}}); status != http.StatusBadRequest {
					t.Errorf("%s: got %d, want it refused: an app may fold it", name, status)
				}
			}
		})
	}
}

// header1 and header2 are PROXY headers of either version about a client. Where
// it is an IPv4 address in a header of IPv6, it is mapped.
func header1(client netip.Addr) string {
	family, to := "TCP4", "192.0.2.1"
	if client.Is6() {
		family, to = "TCP6", "2001:db8::1"
	}
	return fmt.Sprintf("PROXY %s %s %s 50000 443\r\n", family, client, to)
}

func header2(client netip.Addr) string {
	family, to := byte(0x11), netip.MustParseAddr("192.0.2.1")
	if client.Is6() {
		family, to = 0x21, netip.MustParseAddr("2001:db8::1")
	}
	body := append(client.AsSlice(), to.AsSlice()...)
	body = append(body, 0xc3, 0x50, 0x01, 0xbb)
	head := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, family, 0, byte(len(body)))
	return string(append(head, body...))
}

// balanced returns a client that speaks as the balancer does: from its address,
// with a PROXY header before TLS.
func balanced(header string) *http.Client {
	c := from(balancer)
	tr := c.Transport.(*http.Transport)
	dial := tr.DialContext
	tr.DisableKeepAlives = false
	tr.DialTLSContext = func(ctx context.Context, network, to string) (net.Conn, error) {
		conn, err := dial(ctx, network, to)
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(conn, header); err != nil {
			return nil, err
		}
		return tls.Client(conn, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}), nil
	}
	return c
}

// TestOneClientIsOneBucketHoweverABalancerWritesIt names clients by both
// versions of PROXY in turn.
func TestOneClientIsOneBucketHoweverABalancerWritesIt(t *testing.T) {
	g := configured(t, paced+"sites: [{to: "+mirror(t)+", access: app, headers: compat}]\ntrusted_proxies: ["+balancer+"/32]\nproxy_protocol: true\n")
	for _, row := range []struct {
		name    string
		clients []string
	}{
		{"the addresses of one /64", []string{"2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff::3", "2001:db8:1:2:a:b:c:d", "2001:db8:1:2::1"}},
		{"the /64 beside it", []string{"2001:db8:1:3::1", "2001:db8:1:3::2", "2001:db8:1:3::3", "2001:db8:1:3::4"}},
		{"an IPv4 address, and the same mapped", []string{"203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7", "::ffff:203.0.113.7"}},
		{"another, mapped first", []string{"::ffff:203.0.113.8", "203.0.113.8", "::ffff:203.0.113.8", "203.0.113.8"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			for n, text := range row.clients {
				client := netip.MustParseAddr(text)
				headers := []string{header1(client), header2(client)}
				c := balanced(headers[n%2])
				status, sent := asked(t, c, g.url("/"), forgery(n))
				c.CloseIdleConnections()
				switch {
				case n < 3 && status == http.StatusOK:
					onlyTells(t, sent, client.Unmap().String())
				case n < 3 || status != http.StatusTooManyRequests:
					t.Errorf("request %d, of %s: got %d, want three of the bucket served and no more", n+1, text, status)
				}
			}
		})
	}
}

// TestAReloadWithdrawsTheTrustInABalancer takes nginx out of trusted_proxies
// while it stands there.
func TestAReloadWithdrawsTheTrustInABalancer(t *testing.T) {
	site := "sites: [{to: " + mirror(t) + ", access: app, headers: compat}]\n"
	plain := freePort(t)
	config := filepath.Join(t.TempDir(), "hauberk.yaml")
	put := func(more, trusted string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(site+paced+more+"trusted_proxies: ["+trusted+"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = "192.0.2.1/32"

	clear := "proxy_http: 127.0.0.1:" + plain + "\n"
	put(clear, balancer+"/32")
	web := serve(t, "", "-c", config)
	viaHTTP, viaTLS, _ := nginx(t, plain, web.port, web.port)
	for _, url := range []string{"http://localhost:" + viaHTTP + "/", "http://localhost:" + viaTLS + "/"} {
		if status, sent := asked(t, from(outsider), url, forgery(0)); status != http.StatusOK || sent.Get("X-Forwarded-For") != outsider {
			t.Fatalf("before the reload: got %d %q", status, sent)
		}
	}
	put(clear, nobody)
	if said := web.reload(t, 1); said != "" {
		t.Fatal(said)
	}
	if status, _ := asked(t, from(outsider), "http://localhost:"+viaHTTP+"/", forgery(0)); status != http.StatusBadGateway {
		t.Errorf("got %d by the listener for proxies, want it closed to nginx", status)
	}
	count := map[int]int{}
	for n := range 5 {
		client := fmt.Sprintf("127.0.6.%d", n+1)
		status, sent := asked(t, from(client), "http://localhost:"+viaTLS+"/", forgery(n))
		if count[status]++; status == http.StatusOK {
			onlyTells(t, sent, balancer)
		}
	}
	if !maps.Equal(count, map[int]int{http.StatusOK: 3, http.StatusTooManyRequests: 2}) {
		t.Errorf("got %v, want all who come by nginx to be one client", count)
	}

	put("proxy_protocol: true\n", balancer+"/32")
	named := serve(t, "", "-c", config)
	held := balanced(header1(netip.MustParseAddr("203.0.113.7")))
	defer held.CloseIdleConnections()
	told := func(c *http.Client) (int, []string) {
		status, sent := asked(t, c, named.url("/"), forgery(0))
		return status, sent["X-Forwarded-For"]
	}
	if status, client := told(held); status != http.StatusOK || !slices.Equal(client, []string{"203.0.113.7"}) {
		t.Fatalf("before the reload: got %d %q", status, client)
	}
	put("proxy_protocol: true\n", nobody)
	if said := named.reload(t, 1); said != "" {
		t.Fatal(said)
	}
	if status, client := told(held); status != http.StatusOK || !slices.Equal(client, []string{balancer}) {
		t.Errorf("on the connection that it held: got %d %q, want the balancer itself as the client", status, client)
	}
	if status, _ := told(balanced(header1(netip.MustParseAddr("203.0.113.7")))); status != 0 {
		t.Errorf("on a new connection: got %d, want it closed", status)
	}
}
