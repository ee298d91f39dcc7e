package e2e_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var nginxReady once

const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

// needNginx installs Debian's nginx with its module for TCP.
func needNginx(t testing.TB) {
	t.Helper()
	nginxReady.do(t, func() error {
		_, missing := exec.LookPath("nginx")
		if _, err := os.Stat(streamModule); err == nil && missing == nil {
			return nil
		}
		return apt("nginx", "libnginx-mod-stream")
	})
}

const (
	balancer = "127.0.0.9"  // the address from which nginx connects
	outsider = "127.0.0.77" // a client somewhere on the net
)

// nginx starts nginx in front of the ports given: HTTP to the listener for
// proxies, HTTP to TLS, and TCP with a PROXY header.
func nginx(t testing.TB, plain, secure, named string) (http, https, tcp string) {
	t.Helper()
	needNginx(t)
	dir := t.TempDir()
	http, https, tcp = freePort(t), freePort(t), freePort(t)
	text := strings.NewReplacer("DIR", dir, "BALANCER", balancer, "PLAIN", plain, "SECURE", secure, "NAMED", named,
		"HTTPS", https, "HTTP", http, "TCP", tcp, "MODULE", streamModule).Replace(`
load_module MODULE;
daemon off;
master_process off;
pid DIR/pid;
error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
	proxy_bind BALANCER;
	proxy_set_header Host $http_host;
	proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
	proxy_set_header X-Forwarded-Proto https; # all in one place: a location with one of its own would inherit none
	server { # it ends TLS; here everybody is said to have come over it
		listen 127.0.0.1:HTTP;
		location / { proxy_pass http://127.0.0.1:PLAIN; }
	}
	server {
		listen 127.0.0.1:HTTPS;
		location / { proxy_ssl_server_name on; proxy_ssl_name localhost; proxy_pass https://127.0.0.1:SECURE; }
	}
}
stream {
	server { listen 127.0.0.1:TCP; proxy_bind BALANCER; proxy_protocol on; proxy_pass 127.0.0.1:NAMED; }
}
`)
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, nil, "nginx", "-p", dir, "-c", conf)
	p.ready(t, "127.0.0.1:"+http)
	p.ready(t, "127.0.0.1:"+tcp)
	return http, https, tcp
}

// witness is an app that answers what it was told about the client.
func witness(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s | %s | %s", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"),
			r.Header.Get("Forwarded"), r.Header.Get("X-Real-IP"))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// from returns a client that connects from an address of this machine.
func from(addr string) *http.Client {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: 5 * time.Second}
	return &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(to)
			return d.DialContext(ctx, network, "127.0.0.1:"+port)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
}

// told asks with forged headers and returns what the app was told.
func told(t testing.TB, c *http.Client, url, path string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["X-Forwarded-For"] = []string{"198.51.100.9", balancer}
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Real-IP", "198.51.100.9")
	r.Header.Set("Forwarded", "for=198.51.100.9")
	res, err := c.Do(r)
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

// logged returns the client in the access line of a path.
func (g *gate) logged(t testing.TB, path string) (client string) {
	t.Helper()
	eventually(5*time.Second, func() bool {
		for line := range strings.Lines(g.out.String()) {
			var entry struct{ Msg, Path, Client string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "request" && entry.Path == path {
				client = entry.Client
			}
		}
		return client != ""
	})
	return client
}

// TestBehindNginx puts Debian's nginx in front: the client that nginx saw is
// the one in the log and the one that the app is told, whatever the request
// says by itself, and nobody gets around nginx.
func TestBehindNginx(t *testing.T) {
	app := witness(t)
	site := "\nsites: [{to: http://" + app + ", access: app, headers: compat}]\n"
	plain := freePort(t)
	web := configured(t, "trusted_proxies: ["+balancer+"/32]\nproxy_http: 127.0.0.1:"+plain+site)
	tcp := configured(t, "trusted_proxies: ["+balancer+"/32]\nproxy_protocol: true"+site)
	viaHTTP, viaTLS, viaTCP := nginx(t, plain, web.port, tcp.port)
	outside := from(outsider)
	right := outsider + ` https | for=` + outsider
	for _, row := range []struct {
		name, url string
		gate      *gate
	}{
		{"X-Forwarded-For, clear text to proxy_http", "http://localhost:" + viaHTTP, web},
		{"X-Forwarded-For, TLS to listen", "http://localhost:" + viaTLS, web},
		{"PROXY protocol, TLS through it", "https://localhost:" + viaTCP, tcp},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := "/" + strings.ReplaceAll(strings.ToLower(strings.Split(row.name, ",")[1]), " ", "-")
			if got := told(t, outside, row.url, path); !strings.HasPrefix(got, right) || !strings.HasSuffix(got, "| ") {
				t.Errorf("the app was told %q, want %q and no forged X-Real-IP", got, right)
			}
			if got := row.gate.logged(t, path); got != outsider {
				t.Errorf("the log says %q, want %s", got, outsider)
			}
		})
	}
	for _, row := range []struct{ name, url, want string }{
		{"around it, to TLS: nothing is believed", "https://localhost:" + web.port, outsider + " https"},
		{"around it, to the listener for proxies: closed", "http://localhost:" + plain, "closed"},
		{"around it, to the listener with PROXY: closed", "https://localhost:" + tcp.port, "closed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := told(t, outside, row.url, "/around"); !strings.HasPrefix(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	t.Run("a PROXY header from outside: closed", func(t *testing.T) {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(outsider)}}).Dial("tcp", "127.0.0.1:"+tcp.port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c, "PROXY TCP4 198.51.100.9 192.0.2.1 1 443\r\n")
		if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
			t.Error("got a handshake, want a closed door")
		}
		tcp.says(t, "harden.untrusted-proxy", 5*time.Second)
	})
}
