package hauberk_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hauberk.dev"
)

// TestNewAsksForAStateDirectoryWhereCertificatesAreObtained holds that a
// server which cannot keep accounts and keys fails before it listens, and that
// who only tries a configuration needs none and makes none.
func TestNewAsksForAStateDirectoryWhereCertificatesAreObtained(t *testing.T) {
	c, _, err := hauberk.Parse("hauberk.yaml", []byte("https: {acme: {agreed: true}}\nsites: [{hosts: [shop.example.com], access: app, headers: compat}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hauberk.New(c, nil); err == nil || !strings.HasPrefix(err.Error(), "https.acme: needs a state directory") {
		t.Errorf("New: got %v, want the state directory asked for", err)
	}
	if _, err := hauberk.Try(c); err != nil {
		t.Errorf("Try: got %v, want the state directory not missed", err)
	}
	c.State = filepath.Join(t.TempDir(), "state")
	if _, err := hauberk.Try(c); err != nil {
		t.Errorf("Try with state: got %v", err)
	}
	if _, err := os.Stat(c.State); !os.IsNotExist(err) {
		t.Errorf("got %v, want no directory made", err)
	}
	if _, err := hauberk.New(c, nil); err != nil {
		t.Errorf("New with state: got %v", err)
	}
}

// TestIssuanceSaysWhatIsAskedOfWhomAndWhereItIsSeen holds that nothing is said
// where nobody has agreed, and that no challenge is promised without a listener.
func TestIssuanceSaysWhatIsAskedOfWhomAndWhereItIsSeen(t *testing.T) {
	const agreed = "https: {acme: {agreed: true}}\n"
	const from = "from https://acme-v02.api.letsencrypt.org/directory"
	const tls = "TLS-ALPN-01 is answered on listen :8443: port 443 of these names must lead there"
	for _, row := range []struct {
		name, yaml, hosts string
		want              []string
	}{
		{"nobody agreed", "", "shop.test", nil},
		{"all names are local", agreed, "shop.test", []string{"nothing is obtained: no name is public but those in https.certificates"}},
		{"TLS ends elsewhere", agreed + "listen: none\nproxy_http: 127.0.0.1:8080\ntrusted_proxies: [127.0.0.1/32]\n", "shop.example.com",
			[]string{"nothing is obtained: listen is none, so TLS ends at the proxy"}},
		{"no clear text", agreed, "shop.example.com", []string{"shop.example.com: " + from, "HTTP-01 is not answered: http is not set", tls}},
		{"both ports", agreed + "listen: \":443\"\nhttp: 192.0.2.1:80\n", "a.example.com, shop.test, b.example.com",
			[]string{"a.example.com, b.example.com: " + from, "HTTP-01 is answered on http 192.0.2.1:80", "TLS-ALPN-01 is answered on listen :443"}},
		{"another port for clear text", agreed + "http: \":8080\"\n", "shop.example.com",
			[]string{"shop.example.com: " + from, "HTTP-01 is answered on http :8080: port 80 of these names must lead there", tls}},
		{"clear text by a proxy", agreed + "proxy_http: 127.0.0.1:8080\ntrusted_proxies: [127.0.0.1/32]\n", "shop.example.com",
			[]string{"shop.example.com: " + from, "HTTP-01 is answered on proxy_http 127.0.0.1:8080, for the proxy that takes port 80 of these names", tls}},
		{"two authorities", "https: {acme: {agreed: true, authorities: [{directory: \"https://ca.test/dir\"}, {directory: \"https://other.test/dir\"}]}}\n",
			"shop.example.com", []string{"shop.example.com: from https://ca.test/dir, else https://other.test/dir", "HTTP-01 is not answered: http is not set", tls}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, _, err := hauberk.Parse("hauberk.yaml", []byte(row.yaml+"sites: [{hosts: ["+row.hosts+"], access: app, headers: compat}]\n"))
			if err != nil {
				t.Fatal(err)
			}
			chain, err := hauberk.Try(c)
			if err != nil {
				t.Fatal(err)
			}
			if got := chain.Issuance(); !slices.Equal(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}
