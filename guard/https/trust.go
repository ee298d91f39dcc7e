package https

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/smallstep/truststore"
)

// Store is a place that keeps trusted authorities.
type Store string

// The stores. Of the browsers, Firefox and, on Linux, Chromium keep their own.
const (
	System   Store = "system"
	Browsers Store = "browsers"
	Java     Store = "java"
)

// Outcome is what became of one store, in words.
type Outcome struct {
	Store Store
	// Done says that the store now is as was asked.
	Done bool
	// Text says what was done, or what is needed.
	Text string
}

// Trust puts the local authority of dir, which it makes where it is missing,
// into stores, or into all. Every store is tried, whatever became of the others.
func Trust(dir string, stores ...Store) ([]Outcome, error) {
	stores, err := choose(stores)
	if err != nil {
		return nil, err
	}
	a, err := openAuthority(dir, time.Now)
	if err != nil {
		return nil, err
	}
	return each(stores, func(s Store) (string, error) { return install(s, CAFile(dir), a.cert) }), nil
}

// Untrust takes the local authority of dir out of stores, or out of all.
func Untrust(dir string, stores ...Store) ([]Outcome, error) {
	stores, err := choose(stores)
	if err != nil {
		return nil, err
	}
	cert, err := truststore.ReadCertificate(CAFile(dir))
	if err != nil {
		return nil, fmt.Errorf("read the local authority: %w", err)
	}
	return each(stores, func(s Store) (string, error) { return remove(s, cert) }), nil
}

func choose(stores []Store) ([]Store, error) {
	all := []Store{System, Browsers, Java}
	for _, s := range stores {
		if !slices.Contains(all, s) {
			return nil, fmt.Errorf("%q is not a store: want %s, %s or %s", s, System, Browsers, Java)
		}
	}
	if len(stores) == 0 {
		return all, nil
	}
	return stores, nil
}

func each(stores []Store, do func(Store) (string, error)) []Outcome {
	var out []Outcome
	for _, s := range stores {
		text, err := do(s)
		if err != nil {
			text = reason(err)
		}
		out = append(out, Outcome{Store: s, Done: err == nil, Text: text})
	}
	return out
}

// reason adds what a command said to the error of running it.
func reason(err error) string {
	text := err.Error()
	var c *truststore.CmdError
	if errors.As(err, &c) {
		if said := strings.Join(strings.Fields(string(c.Out())), " "); said != "" {
			text += fmt.Sprintf(": %q", said)
		}
	}
	return text
}

func install(s Store, file string, cert *x509.Certificate) (string, error) {
	switch s {
	case System:
		if err := truststore.Install(cert); err != nil {
			return "", fmt.Errorf("needs root (sudo) and the package ca-certificates; or import %s by hand: %w", file, err)
		}
		return "the system trusts it; programs that run need a restart", nil
	case Browsers:
		t, err := openBrowsers()
		if err != nil {
			return "", err
		}
		if err := makeDatabase(); err != nil {
			return "", err
		}
		if err := t.PreCheck(); err != nil {
			return "", fmt.Errorf("no browser profile found; start the browser once, or import %s in its settings: %w", file, err)
		}
		if !t.Exists(cert) {
			if err := t.Install(file, cert); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("Chromium and Firefox trust it after a restart; a Firefox from snap or flatpak has a store of its own: import %s in its settings", file), nil
	}
	t, err := openJava()
	if err != nil {
		return "", err
	}
	if !t.Exists(cert) {
		if err := t.Install(file, cert); err != nil {
			return "", err
		}
	}
	return "the Java of JAVA_HOME trusts it", nil
}

func remove(s Store, cert *x509.Certificate) (string, error) {
	switch s {
	case System:
		if err := truststore.Uninstall(cert); err != nil {
			return "", fmt.Errorf("needs root (sudo): %w", err)
		}
	case Browsers:
		t, err := openBrowsers()
		if err != nil {
			return "", err
		}
		if err := t.Uninstall("", cert); err != nil {
			return "", err
		}
	default:
		t, err := openJava()
		if err != nil {
			return "", err
		}
		if err := t.Uninstall("", cert); err != nil {
			return "", err
		}
	}
	return "the local authority is no longer trusted", nil
}

// openBrowsers finds NSS's tool.
func openBrowsers() (*truststore.NSSTrust, error) {
	t, err := truststore.NewNSSTrust()
	if err != nil {
		return nil, fmt.Errorf("needs certutil: install libnss3-tools (Debian, Ubuntu), nss-tools (Fedora) or nss (Homebrew): %w", err)
	}
	return t, nil
}

// makeDatabase makes the database that Chromium reads on Linux where it is
// missing, so that trust may come before the browser's first start.
func makeDatabase() error {
	home, err := os.UserHomeDir()
	if err != nil || runtime.GOOS != "linux" {
		return nil
	}
	db := filepath.Join(home, ".pki", "nssdb")
	if _, err := os.Stat(filepath.Join(db, "cert9.db")); err == nil {
		return nil
	}
	if err := os.MkdirAll(db, 0o700); err != nil {
		return err
	}
	if out, err := exec.Command("certutil", "-N", "-d", "sql:"+db, "--empty-password").CombinedOutput(); err != nil {
		return fmt.Errorf("make %s: %w: %q", db, err, out)
	}
	return nil
}

func openJava() (*truststore.JavaTrust, error) {
	t, err := truststore.NewJavaTrust()
	if err != nil {
		return nil, fmt.Errorf("needs JAVA_HOME with bin/keytool: %w", err)
	}
	return t, nil
}
