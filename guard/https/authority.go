package https

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	caName    = "ca.pem"
	caKeyName = "ca-key.pem"
	caLife    = 3650 * day
	leafLife  = 90 * day
	leafRenew = leafLife / 3 // what is left when a leaf is made anew
	leafCount = 1000
	skew      = time.Hour // for a client whose clock is behind
	fileLimit = 1 << 20
)

// CAFile returns the file in dir that holds the certificate of the local
// authority, for a client that is to trust it.
func CAFile(dir string) string { return filepath.Join(dir, caName) }

// authority makes certificates for local names and for no others. The
// constraint stands in its own certificate, so that a stolen key is worth
// nothing for any name on the internet.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time

	mu     sync.Mutex
	leaves map[host]*tls.Certificate
}

// openAuthority reads the authority in dir, or makes it. The key file holds
// the certificate too and appears in one step: two processes that start at once
// end up with one authority.
func openAuthority(dir string, now func() time.Time) (*authority, error) {
	if dir == "" {
		_, a, err := makeAuthority(now)
		return a, err
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	a, found, err := readAuthority(dir, now)
	if err != nil {
		return nil, err
	}
	if !found {
		if _, err := os.Stat(CAFile(dir)); err == nil {
			return nil, fmt.Errorf("%s is there but its key %s is not: remove %s to have a new authority made, then run hauberk trust",
				CAFile(dir), caKeyName, caName)
		}
		text, _, err := makeAuthority(now)
		if err != nil {
			return nil, err
		}
		if err := place(dir, caKeyName, text, 0o600, false); err != nil {
			return nil, fmt.Errorf("write the key of the local authority: %w", err)
		}
		if a, _, err = readAuthority(dir, now); err != nil {
			return nil, err
		}
	}
	return a, a.publish(dir)
}

// private makes dir where it is missing and refuses one that others can write:
// they would swap the authority for their own.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	i, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && i.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("state directory %s can be written by others (mode %04o): chmod 700 it", dir, i.Mode().Perm())
	}
	return nil
}

// publish writes the certificate alone beside the key, for all to read.
func (a *authority) publish(dir string) error {
	want := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	got, err := os.ReadFile(CAFile(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place(dir, caName, want, 0o644, true)
	case err != nil:
		return err
	case !bytes.Equal(got, want):
		return fmt.Errorf("%s is not the certificate in %s: remove it to have it written again", CAFile(dir), caKeyName)
	}
	return nil
}

func makeAuthority(now func() time.Time) ([]byte, *authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	start := now().Add(-skew)
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Hauberk"}, CommonName: authorityName()},
		NotBefore:             start,
		NotAfter:              start.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
		// Servers only: it can sign neither mail nor code nor clients.
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         permittedNames(),
		PermittedIPRanges:           permittedAddrs(),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
	out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	return out, &authority{cert: cert, key: key, now: now, leaves: map[host]*tls.Certificate{}}, nil
}

// authorityName tells two machines' authorities apart in a browser's list. It
// becomes a file name in the system's store, so it holds nothing but a host name.
func authorityName() string {
	const name, most = "Hauberk local authority", 64 // RFC 5280, ub-common-name
	machine, err := os.Hostname()
	if err != nil || !validLabel(machine) || len(name)+1+len(machine) > most {
		return name
	}
	return name + " " + machine
}

func permittedNames() []string { return []string{"localhost", "test"} }

func permittedAddrs() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IP{127, 0, 0, 0}, Mask: net.CIDRMask(8, 32)},
		{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
	}
}

// serial returns 126 random bits, positive and never zero (RFC 5280, 4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

func readAuthority(dir string, now func() time.Time) (*authority, bool, error) {
	name := filepath.Join(dir, caKeyName)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if runtime.GOOS != "windows" && i.Mode().Perm()&0o077 != 0 {
		return nil, false, fmt.Errorf("%s can be read by others (mode %04o): whoever has read it can pose as your local sites; "+
			"remove it and %s, start again, and run hauberk trust", name, i.Mode().Perm(), caName)
	}
	text, err := io.ReadAll(io.LimitReader(f, fileLimit))
	if err != nil {
		return nil, false, err
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, false, fmt.Errorf("%s: the key is not ECDSA", name)
	}
	if err := constrained(pair.Leaf, now()); err != nil {
		return nil, false, fmt.Errorf("%s: %w: remove it and %s to have a new authority made, then run hauberk trust", name, err, caName)
	}
	return &authority{cert: pair.Leaf, key: key, now: now, leaves: map[host]*tls.Certificate{}}, true, nil
}

// constrained refuses an authority that could sign for a name on the internet:
// the trust verb would put it into every browser of the user.
func constrained(c *x509.Certificate, now time.Time) error {
	same := func(a, b *net.IPNet) bool { return a.String() == b.String() }
	switch {
	case !c.IsCA || c.KeyUsage != x509.KeyUsageCertSign:
		return errors.New("the certificate is not an authority's")
	case !c.PermittedDNSDomainsCritical || !slices.Equal(c.PermittedDNSDomains, permittedNames()) ||
		!slices.EqualFunc(c.PermittedIPRanges, permittedAddrs(), same):
		return errors.New("the authority is not bound to local names")
	case now.After(c.NotAfter):
		return fmt.Errorf("the authority ended on %s", c.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// leaf returns a certificate for h, which is mintable.
func (a *authority) leaf(h host) (*tls.Certificate, error) {
	now := a.now()
	a.mu.Lock()
	c := a.leaves[h]
	a.mu.Unlock()
	if c != nil && now.Before(c.Leaf.NotAfter.Add(-leafRenew)) {
		return c, nil
	}
	c, err := a.mint(h, now)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.leaves) >= leafCount {
		for other := range a.leaves { // any one: another is made in well under a millisecond
			delete(a.leaves, other)
			break
		}
	}
	a.leaves[h] = c
	return c, nil
}

func (a *authority) mint(h host, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	start := now.Add(-skew)
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Hauberk"}},
		NotBefore:    start,
		NotAfter:     start.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if t.NotAfter.After(a.cert.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	if h.addr.IsValid() {
		t.IPAddresses = []net.IP{h.addr.AsSlice()}
	} else {
		t.DNSNames = []string{h.name}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// place writes name in dir in one step: whoever reads it sees all of it or
// none. Unless replace is set, a file that is there already stays.
func place(dir, name string, text []byte, mode fs.FileMode, replace bool) (err error) {
	f, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	to := filepath.Join(dir, name)
	if !replace {
		if err := os.Link(f.Name(), to); err == nil || errors.Is(err, fs.ErrExist) {
			return nil
		}
		// A file system without hard links: the rename is as whole, and only
		// two first starts at the same moment could notice.
	}
	return os.Rename(f.Name(), to)
}
