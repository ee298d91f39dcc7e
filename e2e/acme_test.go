package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var pebbleReady once

// needPebble builds Let's Encrypt's test authority and its name server, at the
// versions of tools/go.mod.
func needPebble(t testing.TB) {
	t.Helper()
	pebbleReady.do(t, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		const module = "github.com/letsencrypt/pebble/v2/cmd/"
		out, err := run(ctx, filepath.Join(root, "tools"), nil, "go", "build", "-o", scratch+"/", module+"pebble", module+"pebble-challtestsrv")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
}

// pebble starts the authority on loopback, for which every name is this machine,
// and returns its directory, the file of its own root and the roots of what
// it issues.
func pebble(t testing.TB, plain, secure string) (directory, rootFile string, roots *x509.CertPool) {
	t.Helper()
	needPebble(t)
	dir := t.TempDir()
	own := httptest.NewUnstartedServer(nil)
	own.StartTLS() // for its certificate
	defer own.Close()
	key, err := x509.MarshalPKCS8PrivateKey(own.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	rootFile = filepath.Join(dir, "cert.pem")
	listen, manage, names, side := freePort(t), freePort(t), freePort(t), freePort(t)
	number := func(port string) int { n, _ := strconv.Atoi(port); return n }
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": "127.0.0.1:" + listen, "managementListenAddress": "127.0.0.1:" + manage,
		"certificate": rootFile, "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": number(plain), "tlsPort": number(secure), "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"cert.pem":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate().Raw}),
		"key.pem":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"config.json": config,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dns := launch(t, dir, nil, filepath.Join(scratch, "pebble-challtestsrv"), "-dnsserver", "127.0.0.1:"+names, "-management", "127.0.0.1:"+side,
		"-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
	dns.ready(t, "127.0.0.1:"+names)
	ca := launch(t, dir, []string{"PEBBLE_VA_NOSLEEP=1"}, filepath.Join(scratch, "pebble"), "-config", "config.json", "-dnsserver", "127.0.0.1:"+names)
	ca.ready(t, "127.0.0.1:"+manage)
	ca.ready(t, "127.0.0.1:"+listen)
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	res, err := insecure.Get("https://127.0.0.1:" + manage + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	roots = x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatalf("the root of pebble: %v", err)
	}
	return "https://127.0.0.1:" + listen + "/dir", rootFile, roots
}

// TestPublicNamesGetACertificate runs the binary with a name of the internet
// before an authority that looks at its real listeners.
func TestPublicNamesGetACertificate(t *testing.T) {
	app := witness(t)
	for _, row := range []struct {
		name      string
		http, tls bool // where the authority can look
	}{{"HTTP-01", true, false}, {"TLS-ALPN-01", false, true}} {
		t.Run(row.name, func(t *testing.T) {
			web, port := freePort(t), freePort(t)
			plain, secure := web, port
			if !row.http {
				plain = freePort(t)
			}
			if !row.tls {
				secure = freePort(t)
			}
			directory, rootFile, roots := pebble(t, plain, secure)
			config := filepath.Join(t.TempDir(), "hauberk.yaml")
			text := fmt.Sprintf(`
https:
  acme:
    agreed: true
    authorities: [{directory: %s, roots: %s}]
sites: [{hosts: [shop.example.com, app.test], to: http://%s, access: app, headers: compat}]
`, directory, rootFile, app)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			flags := []string{"-c", config}
			if row.http {
				flags = append(flags, "--http", "127.0.0.1:"+web)
			}
			g := serveAt(t, port, filepath.Join(t.TempDir(), "state"), "", flags...)
			c := client(roots, 2)
			c.Transport.(*http.Transport).TLSClientConfig.ServerName = "shop.example.com"
			ask := func() (answer, error) {
				r, err := http.NewRequest(http.MethodGet, "https://127.0.0.1:"+port+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "shop.example.com"
				return read(c.Do(r))
			}
			if !eventually(60*time.Second, func() bool { _, err := ask(); return err == nil }) {
				t.Fatal("no certificate after a minute")
			}
			a, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			a.wants(t, http.StatusOK).has(t, "Strict-Transport-Security", "max-age=300")
			g.says(t, "took a certificate from", 5*time.Second)
			g.says(t, "shop.example.com: 5m0s, step 1 of 4", 5*time.Second)
			// A reload goes on showing it and orders no other: each connection is new.
			orders := strings.Count(g.out.String(), "took a certificate from")
			stop, asked := make(chan struct{}), make(chan int)
			go func() {
				n := 0
				for ; ; n++ {
					select {
					case <-stop:
						asked <- n
						return
					default:
					}
					c.CloseIdleConnections()
					if a, err := ask(); err != nil || a.StatusCode != http.StatusOK {
						t.Errorf("during a reload: got %v %v", a.Response, err)
					}
				}
			}()
			for n := range 5 {
				if err := os.WriteFile(config, fmt.Appendf(nil, "%sharden: {idle: %dm}\n", text, n+1), 0o600); err != nil {
					t.Fatal(err)
				}
				if failed := g.reload(t, n+1); failed != "" {
					t.Error(failed)
				}
			}
			close(stop)
			if n := <-asked; n < 20 {
				t.Errorf("%d connections during five reloads: too few to tell", n)
			}
			if n := strings.Count(g.out.String(), "took a certificate from"); n != orders {
				t.Errorf("a reload ordered %d more certificates", n-orders)
			}
			// Nobody else learns anything from the path of a challenge.
			r, _ := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+plain+"/.well-known/acme-challenge/x", nil)
			r.Host = "shop.example.com"
			if a, err := read(client(nil, 1).Do(r)); row.http && (err != nil || a.StatusCode != http.StatusForbidden) {
				t.Errorf("a token that nobody sent: got %v %v, want a refusal", a.Response, err)
			}
		})
	}
}
