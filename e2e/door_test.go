package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// door is a way to an app: bare, or through Hauberk in one version of HTTP.
type door struct {
	name   string
	url    string
	client *http.Client // follows no redirect, keeps no cookie, decodes nothing
	h1     *http.Client // the same over HTTP/1.1, for WebSocket
	bare   bool
	roots  *x509.CertPool
	gate   *gate // nil for the bare door
	// names are those that a browser asks for beside localhost.
	names []string
}

// addr returns host:port of the door.
func (d door) addr() string {
	_, rest, _ := strings.Cut(d.url, "://")
	return rest
}

// gate is a running `hauberk serve`.
type gate struct {
	*process
	port, state string
	roots       *x509.CertPool
}

// serve starts the built binary with --to upstream, or with the flags given
// instead when upstream is empty, and waits until it listens.
func serve(t testing.TB, upstream string, flags ...string) *gate {
	t.Helper()
	return serveAt(t, freePort(t), filepath.Join(t.TempDir(), "state"), upstream, flags...)
}

func serveAt(t testing.TB, port, state, upstream string, flags ...string) *gate {
	t.Helper()
	args := []string{"serve", "--listen", "127.0.0.1:" + port, "--state", state}
	if upstream != "" {
		args = append(args, "--to", upstream)
	}
	p := launch(t, t.TempDir(), nil, binary(t), append(args, flags...)...)
	g := &gate{process: p, port: port, state: state}
	p.ready(t, "127.0.0.1:"+port)
	p.says(t, "listens", 10*time.Second)
	g.roots = authority(t, state)
	return g
}

// authority returns the local CA of a state directory. The port is taken
// before the CA is made, so it may be a moment away.
func authority(t testing.TB, state string) *x509.CertPool {
	t.Helper()
	roots := x509.NewCertPool()
	var err error
	ok := eventually(10*time.Second, func() bool {
		var pem []byte
		pem, err = os.ReadFile(filepath.Join(state, "ca.pem"))
		return err == nil && roots.AppendCertsFromPEM(pem)
	})
	if !ok {
		t.Fatalf("the local CA: %v", err)
	}
	return roots
}

// configured starts the built binary with a config file.
func configured(t testing.TB, config string, flags ...string) *gate {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hauberk.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return serve(t, "", append([]string{"-c", path}, flags...)...)
}

// unlimited returns the flags of a gate that the test itself loads, from the
// one address that it has.
func unlimited(t testing.TB, upstream string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hauberk.yaml")
	config := "ratelimit: {allow: [127.0.0.0/8]}\nsites: [{access: app, headers: compat, to: " + strconv.Quote(upstream) + "}]\n"
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-c", path}
}

// client returns a client of the gate that trusts its CA alone.
func (g *gate) client(protocol int) *http.Client { return client(g.roots, protocol) }

func (g *gate) url(path string) string { return "https://localhost:" + g.port + path }

// door returns the gate as a door in one version of HTTP.
func (g *gate) door(protocol int) door {
	name := "behind Hauberk, HTTP/1.1"
	if protocol == 2 {
		name = "behind Hauberk, HTTP/2"
	}
	return door{name: name, url: "https://localhost:" + g.port, client: g.client(protocol), h1: g.client(1), roots: g.roots, gate: g}
}

// client returns a client that speaks one version of HTTP, follows no redirect
// and decodes nothing. Every name is this machine.
func client(roots *x509.CertPool, protocol int) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(protocol == 1)
	p.SetHTTP2(protocol == 2)
	return &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Protocols:             p,
			TLSClientConfig:       &tls.Config{RootCAs: roots},
			DisableCompression:    true,
			ExpectContinueTimeout: 10 * time.Second,
			MaxIdleConnsPerHost:   64,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		},
	}
}

// notebook starts examples/express and returns its address.
func notebook(t testing.TB, env ...string) string {
	t.Helper()
	needExpress(t)
	port := freePort(t)
	p := launch(t, express, append([]string{"PORT=" + port, "NODE_ENV=", "SESSION_KEY=the key of the tests"}, env...), "node", "server.js")
	p.ready(t, "127.0.0.1:"+port)
	return "127.0.0.1:" + port
}

// bareDoor returns the app itself as a door.
func bareDoor(app string) door {
	plain := client(nil, 1)
	return door{name: "bare", url: "http://" + app, client: plain, h1: plain, bare: true}
}

// answer is a response that has been read to its end.
type answer struct {
	*http.Response
	body string
}

// get asks for a path.
func (d door) get(t testing.TB, path string, headers ...string) answer {
	t.Helper()
	return d.do(t, http.MethodGet, path, "", headers...)
}

// do sends a request as the page of the same origin would send it; headers
// come in pairs.
func (d door) do(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	a, err := d.try(t, method, path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (d door) try(t testing.TB, method, path, body string, headers ...string) (answer, error) {
	t.Helper()
	r, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body, r.GetBody = http.NoBody, nil
	}
	if method != http.MethodGet && method != http.MethodHead {
		r.Header.Set("Origin", d.url)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return read(d.client.Do(r))
}

func read(resp *http.Response, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp, string(body)}, err
}

// wants fails the test unless the status is as wanted.
func (a answer) wants(t testing.TB, status int) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d; body: %.300q", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.body)
	}
	return a
}

// has fails the test unless the header has the value.
func (a answer) has(t testing.TB, name, value string) answer {
	t.Helper()
	if got := a.Header.Get(name); got != value {
		t.Errorf("%s %s: %s: got %q, want %q", a.Request.Method, a.Request.URL.Path, name, got, value)
	}
	return a
}

// contains fails the test unless the body has the text.
func (a answer) contains(t testing.TB, text string) answer {
	t.Helper()
	if !strings.Contains(a.body, text) {
		t.Errorf("%s %s: no %q in %.600q", a.Request.Method, a.Request.URL.Path, text, a.body)
	}
	return a
}
