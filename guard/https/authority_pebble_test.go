package https_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"hauberk.dev/guard"
	"hauberk.dev/guard/https"
)

// pebble is Let's Encrypt's test authority on loopback, behind a proxy that
// can take it down, notes what is asked, and has renewal information asked for
// again at once instead of after six hours.
type pebble struct {
	https.Authority
	names *nameserver
	plain net.Listener // where it looks for HTTP-01
	tls   net.Listener // and for TLS-ALPN-01
	roots *x509.CertPool
	down  atomic.Bool

	mu     sync.Mutex
	orders []string // the payload of every order that was taken
	tokens []string // of every challenge
}

// openPebble starts one whose certificates last for life, with more settings.
func openPebble(t *testing.T, life time.Duration, more ...map[string]any) *pebble {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds and starts a certificate authority")
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	build.Dir = filepath.Join("..", "..", "tools")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build pebble: %v\n%s", err, out)
	}
	p := &pebble{names: openNames(t)}
	p.plain, p.tls = listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	own := httptest.NewUnstartedServer(nil)
	own.StartTLS() // for its certificate
	defer own.Close()
	key, _ := x509.MarshalPKCS8PrivateKey(own.TLS.Certificates[0].PrivateKey)
	cert := filepath.Join(dir, "cert.pem")
	writeFile(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate().Raw}))
	writeFile(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	ca, manage := freeAddr(t), freeAddr(t)
	settings := map[string]any{
		"listenAddress": ca, "managementListenAddress": manage, "certificate": cert, "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": p.plain.Addr().(*net.TCPAddr).Port, "tlsPort": p.tls.Addr().(*net.TCPAddr).Port, "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": int(life / time.Second)}},
	}
	for _, m := range more {
		maps.Copy(settings, m)
	}
	config, _ := json.Marshal(map[string]any{"pebble": settings})
	writeFile(t, filepath.Join(dir, "config.json"), config)
	run := exec.Command(filepath.Join(dir, "pebble"), "-config", filepath.Join(dir, "config.json"), "-dnsserver", p.names.addr)
	run.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	var said bytes.Buffer
	run.Stdout, run.Stderr = &said, &said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		run.Process.Kill()
		run.Wait()
		if t.Failed() {
			t.Logf("pebble said:\n%s", said.String())
		}
	})
	p.Directory, p.Roots = p.proxy(t, ca)+"/dir", cert
	p.roots = x509.NewCertPool()
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	eventually(t, "pebble to answer", 10*time.Second, func() bool {
		res, err := insecure.Get("https://" + manage + "/roots/0")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return p.roots.AppendCertsFromPEM(text)
	})
	return p
}

// proxy stands before the authority and returns its URL.
func (p *pebble) proxy(t *testing.T, ca string) string {
	rp := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: ca})
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		ErrorLog:  log.New(io.Discard, "", 0),
		ModifyResponse: func(res *http.Response) error {
			if strings.Contains(res.Request.URL.Path, "renewal") {
				res.Header.Set("Retry-After", "1")
			}
			// One in twenty requests is told to come again with another nonce.
			if payload, ok := res.Request.Context().Value(order{}).(string); ok && res.StatusCode == http.StatusCreated {
				p.mu.Lock()
				p.orders = append(p.orders, payload)
				p.mu.Unlock()
			}
			body, err := io.ReadAll(res.Body)
			res.Body = io.NopCloser(bytes.NewReader(body))
			var authz struct{ Challenges []struct{ Token string } }
			if json.Unmarshal(body, &authz) == nil {
				p.mu.Lock()
				defer p.mu.Unlock()
				for _, c := range authz.Challenges {
					p.tokens = append(p.tokens, c.Token)
				}
			}
			return err
		},
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/order-plz") {
			r = readOrder(r)
		}
		rp.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// order is the key of what an order says.
type order struct{}

func readOrder(r *http.Request) *http.Request {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var jws struct{ Payload string }
	json.Unmarshal(body, &jws)
	payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	return r.WithContext(context.WithValue(r.Context(), order{}, string(payload)))
}

func (p *pebble) ordered() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.orders...)
}

func (p *pebble) sent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.tokens...)
}

// nameserver answers for every name, over TCP as pebble asks.
type nameserver struct {
	addr string
	mu   sync.Mutex
	at   map[string][4]byte
	gate chan struct{} // where it is not nil, an answer takes one
}

func openNames(t *testing.T) *nameserver {
	n := &nameserver{at: map[string][4]byte{}}
	l := listen(t, "127.0.0.1:0")
	n.addr = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.serve(c)
		}
	}()
	return n
}

func (n *nameserver) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		raw := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(c, raw); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(raw) != nil || len(m.Questions) != 1 {
			return
		}
		q := m.Questions[0]
		m.Response, m.Additionals = true, nil
		if n.gate != nil {
			<-n.gate
		}
		if q.Type == dnsmessage.TypeA {
			n.mu.Lock()
			ip, ok := n.at[strings.TrimSuffix(q.Name.String(), ".")]
			n.mu.Unlock()
			if !ok {
				ip = [4]byte{127, 0, 0, 1}
			}
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1}, Body: &dnsmessage.AResource{A: ip}}}
		}
		out, err := m.Pack()
		if err != nil {
			return
		}
		c.Write(append([]byte{byte(len(out) >> 8), byte(len(out))}, out...))
	}
}

// site is a room at work with an authority before it and listeners behind.
type site struct {
	*https.Room
	journal *journal
	dir     string
	stop    func()
}

// openSite runs a room for names; certificates are looked at ten times a second.
func openSite(t *testing.T, dir string, clear bool, names []string, from ...*pebble) *site {
	t.Helper()
	s := &site{journal: &journal{}, dir: dir}
	c := https.Config{ACME: https.ACME{Agreed: true, Email: "admin@example.com"}}
	for _, p := range from {
		c.ACME.Authorities = append(c.ACME.Authorities, p.Authority)
	}
	s.Room = newRoom(t, c, https.Options{Hosts: names, Dir: dir, Record: s.journal.record, Clear: clear, Renew: 100 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Principle().Run(ctx) }()
	var servers []*http.Server
	for _, p := range from {
		servers = append(servers, s.answer(tls.NewListener(keptOpen{p.tls}, s.TLS()), true))
		if clear {
			servers = append(servers, s.answer(keptOpen{p.plain}, false))
		}
	}
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, server := range servers {
			server.Close()
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *site) answer(l net.Listener, secure bool) *http.Server {
	chain := s.Principle().Wrap(http.HandlerFunc(ok))
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		x := &guard.Exchange{ID: "1", Secure: secure, Route: &guard.Route{}, Method: q.Method}
		chain.ServeHTTP(w, q.WithContext(guard.With(q.Context(), x)))
	})}
	go server.Serve(l)
	return server
}

// keptOpen is a listener that outlives its server, as a socket does whose
// server is started again.
type keptOpen struct{ net.Listener }

func (l keptOpen) Close() error {
	if d, ok := l.Listener.(*net.TCPListener); ok {
		d.SetDeadline(time.Now()) // Accept returns
		time.AfterFunc(50*time.Millisecond, func() { d.SetDeadline(time.Time{}) })
	}
	return nil
}

// leaf shakes hands for name and returns the certificate, verified against
// the authority, nil for none.
func (p *pebble) leaf(name string) *x509.Certificate {
	cs, err := shake(p.tls.Addr(), &tls.Config{ServerName: name, RootCAs: p.roots, Time: time.Now})
	if err != nil && len(cs.PeerCertificates) == 0 {
		return nil
	}
	return cs.PeerCertificates[0]
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	return l.Addr().String()
}

func writeFile(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(fmt.Errorf("waited %v for %s", within, what))
		}
	}
}
