package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var testsslReady once

// needTestssl returns the command of Debian's testssl.sh.
func needTestssl(t testing.TB) string {
	t.Helper()
	testsslReady.do(t, func() error {
		if _, err := exec.LookPath("testssl"); err == nil {
			return nil
		}
		return apt("testssl.sh", "dnsutils")
	})
	return "testssl"
}

// ofAPrivateCA lists what the scanner finds at MEDIUM or above because the
// certificate is the local authority's: nobody runs a revocation service for
// names that exist on one machine only.
var ofAPrivateCA = map[string]string{
	"cert_revocation": "Neither CRL nor OCSP URI provided",
}

// TestTestssl lets testssl.sh judge the TLS listener. HSTS stands at the end of
// its ramp, as it does on a name that has been served for a while.
func TestTestssl(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the scan takes a minute")
	}
	command := needTestssl(t)
	for _, oldest := range []string{"1.2", "1.3"} {
		t.Run("from TLS "+oldest, func(t *testing.T) {
			if oldest != "1.2" && os.Getenv("HAUBERK_SOAK") == "" {
				t.Skip("a second scan takes another minute: set HAUBERK_SOAK=1")
			}
			g := configured(t, fmt.Sprintf(`
https: {hsts: 17520h, hsts_local: true, min_tls: %q}
sites: [{hosts: [app.test], to: http://%s, access: app, headers: compat}]
`, oldest, witness(t)))
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
			defer cancel()
			dir := t.TempDir()
			report := filepath.Join(dir, "report.json")
			// Its own status counts what it found; the report is what is judged.
			out, _ := run(ctx, dir, nil, command, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1",
				"--add-ca", filepath.Join(g.state, "ca.pem"), "--jsonfile", report, "https://app.test:"+g.port)
			text, err := os.ReadFile(report)
			if err != nil {
				t.Fatalf("%v\n%s", err, tail(out, 20))
			}
			var found []struct{ ID, Severity, Finding string }
			if err := json.Unmarshal(text, &found); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, f := range found {
				seen[f.ID] = true
				switch f.Severity {
				case "MEDIUM", "HIGH", "CRITICAL", "FATAL":
					if ofAPrivateCA[f.ID] == f.Finding {
						t.Logf("of a private authority: %s %s: %s", f.Severity, f.ID, f.Finding)
						continue
					}
					t.Errorf("%s %s: %s", f.Severity, f.ID, f.Finding)
				case "LOW", "WARN":
					t.Logf("%s %s: %s", f.Severity, f.ID, f.Finding)
				}
			}
			for _, id := range []string{"heartbleed", "cert_chain_of_trust", "HSTS_time", "TLS1_3", "PFS", "RC4"} {
				if !seen[id] {
					t.Errorf("the report says nothing about %s: the scan broke off", id)
				}
			}
		})
	}
}
