package https

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
)

var (
	reload = &guard.Rule{
		ID: "https.certificate-reload", Severity: guard.High,
		Title: "a changed certificate cannot be used", CWE: 298, ASVS: []string{"12.2.2"},
		Fix: "write the certificate and its key whole, key first; the old pair stays in use until then",
	}
	expiry = &guard.Rule{
		ID: "https.certificate-expiry", Severity: guard.High,
		Title: "a certificate ends soon or has ended", CWE: 298, ASVS: []string{"12.2.2"},
		Fix: "renew it and write it over the files of https.certificates; no restart is needed",
	}
	exposed = &guard.Rule{
		ID: "https.key-exposed", Severity: guard.High,
		Title: "everybody on the machine can read a private key", CWE: 732, ASVS: []string{"13.3.2"},
		Fix: "chmod 640 the key file and give its group to Hauberk alone",
	}
)

const (
	lookGap  = time.Second      // between two looks at the files, however many handshakes come
	lookIdle = 10 * time.Second // between two looks when none come
	remind   = day
)

// keeper holds the configured certificates and reads them again when they change.
type keeper struct {
	pairs   []Pair
	needed  []pattern // what the pairs must go on covering
	record  func(guard.Event)
	clock   func() time.Time
	current atomic.Pointer[[]*tls.Certificate]
	last    atomic.Int64

	mu     sync.Mutex
	states []state
}

// state is what is known about one pair of files.
type state struct {
	sum      [sha256.Size]byte // of the files in use
	bad      [sha256.Size]byte // of the files that were last complained about
	level    int               // of expiry: fine, soon, ended
	reminded time.Time
}

// openKeeper reads every pair; all mistakes are reported at once.
func openKeeper(pairs []Pair, o Options) (*keeper, error) {
	k := &keeper{pairs: pairs, record: o.Record, clock: o.Now, states: make([]state, len(pairs))}
	certs := make([]*tls.Certificate, len(pairs))
	var errs []error
	for i, p := range pairs {
		cert, sum, err := p.load()
		if err != nil {
			errs = append(errs, fmt.Errorf("https.certificates[%d]%w", i, err))
			continue
		}
		certs[i], k.states[i].sum = cert, sum
		k.guardKey(p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	k.current.Store(&certs)
	k.last.Store(o.Now().UnixNano())
	k.age(o.Now())
	return k, nil
}

// load reads a pair. Its sum stands for what was read, or for the reason why
// nothing could be.
func (p Pair) load() (*tls.Certificate, [sha256.Size]byte, error) {
	cert, err := read(p.Cert)
	if err != nil {
		return nil, sha256.Sum256([]byte(err.Error())), fmt.Errorf(".cert: %w", err)
	}
	key, err := read(p.Key)
	if err != nil {
		return nil, sha256.Sum256([]byte(err.Error())), fmt.Errorf(".key: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d:", len(cert))
	h.Write(cert)
	h.Write(key)
	sum := [sha256.Size]byte(h.Sum(nil))
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, sum, fmt.Errorf(": %s and %s: %w", p.Cert, p.Key, err)
	}
	if k, ok := pair.Leaf.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
		return nil, sum, fmt.Errorf(".key: %s: an RSA key of %d bits can be broken: want 2048 or more, or ECDSA", p.Key, k.N.BitLen())
	}
	return &pair, sum, nil
}

func read(name string) ([]byte, error) {
	if name == "" {
		return nil, errors.New("is empty: name a PEM file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err == nil && len(b) > fileLimit {
		err = fmt.Errorf("%s: is longer than 1MiB", name)
	}
	return b, err
}

// now returns the certificates in use.
func (k *keeper) now() []*tls.Certificate { return *k.current.Load() }

// covers says that one of certs is good for every name under p.
func (k *keeper) covers(certs []*tls.Certificate, p pattern) bool {
	if p.prefix.IsValid() && !p.prefix.IsSingleIP() {
		return false
	}
	name := p.sample().text()
	return slices.ContainsFunc(certs, func(c *tls.Certificate) bool { return c.Leaf.VerifyHostname(name) == nil })
}

// pick returns the certificate for h that the client can use, nil for none.
func (k *keeper) pick(h host, hello *tls.ClientHelloInfo) *tls.Certificate {
	var first *tls.Certificate
	for _, c := range k.now() {
		if c.Leaf.VerifyHostname(h.text()) != nil {
			continue
		}
		if hello.SupportsCertificate(c) == nil {
			return c
		}
		if first == nil {
			first = c
		}
	}
	return first
}

// look reads the files again unless that was done a moment ago. Handshakes call
// it: one of them a second pays for it, the others do not wait.
func (k *keeper) look() {
	if len(k.pairs) == 0 {
		return
	}
	now := k.clock()
	last := k.last.Load()
	if now.Sub(time.Unix(0, last)) < lookGap || !k.last.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.change()
	k.age(now)
}

// change takes every pair that has changed, all or none: a set that no longer
// covers what is served is not taken.
func (k *keeper) change() {
	next := slices.Clone(k.now())
	sums := make([][sha256.Size]byte, len(next))
	changed := false
	for i, p := range k.pairs {
		cert, sum, err := p.load()
		sums[i] = k.states[i].sum
		switch {
		case sum == k.states[i].sum:
		case err != nil:
			k.complain(i, sum, err)
		case k.clock().After(cert.Leaf.NotAfter) && k.clock().Before(next[i].Leaf.NotAfter):
			k.complain(i, sum, fmt.Errorf(".cert: %s has ended on %s", p.Cert, cert.Leaf.NotAfter.Format(time.DateOnly)))
		default:
			next[i], sums[i], changed = cert, sum, true
		}
	}
	if !changed {
		return
	}
	for _, p := range k.needed {
		if k.covers(next, p) {
			continue
		}
		for i := range next {
			if sums[i] != k.states[i].sum {
				k.complain(i, sums[i], fmt.Errorf(".cert: %s: no certificate would cover %s any more", k.pairs[i].Cert, p.text))
			}
		}
		return
	}
	k.current.Store(&next)
	for i := range next {
		if sums[i] == k.states[i].sum {
			continue
		}
		k.states[i] = state{sum: sums[i]}
		k.record(k.stamp(reload.Noted("https.certificates[%d]: took the changed %s, good until %s",
			i, k.pairs[i].Cert, next[i].Leaf.NotAfter.Format(time.DateOnly)), guard.Noted))
		k.guardKey(k.pairs[i])
	}
}

// complain says once for each content of the files that they are not taken.
func (k *keeper) complain(i int, sum [sha256.Size]byte, err error) {
	if k.states[i].bad == sum {
		return
	}
	k.states[i].bad = sum
	k.record(k.stamp(reload.Noted("kept the old certificate: https.certificates[%d]%v", i, err), guard.Failed))
}

// age tells of certificates that have ended, or of whose life less than a
// fifth is left: whoever renews at two thirds has failed to by then.
func (k *keeper) age(now time.Time) {
	for i, c := range k.now() {
		s, leaf := &k.states[i], c.Leaf
		level := 0
		switch left := leaf.NotAfter.Sub(now); {
		case left <= 0:
			level = 2
		case left < leaf.NotAfter.Sub(leaf.NotBefore)/5:
			level = 1
		}
		if level == 0 || (level == s.level && now.Sub(s.reminded) < remind) {
			continue
		}
		s.level, s.reminded = level, now
		word := "ends"
		if level == 2 {
			word = "has ended"
		}
		k.record(k.stamp(expiry.Noted("https.certificates[%d]: %s %s on %s", i, k.pairs[i].Cert, word,
			leaf.NotAfter.UTC().Format(time.DateTime)), guard.Noted))
	}
}

// guardKey tells of a key that everybody can read. It is not refused: secrets
// mounted into a container often are so, where nobody else is.
func (k *keeper) guardKey(p Pair) {
	if i, err := os.Stat(p.Key); err == nil && runtime.GOOS != "windows" && i.Mode().Perm()&0o004 != 0 {
		k.record(k.stamp(exposed.Noted("%s has mode %04o", p.Key, i.Mode().Perm()), guard.Noted))
	}
}

func (k *keeper) stamp(e guard.Event, v guard.Verdict) guard.Event {
	e.Time, e.Verdict = k.clock(), v
	return e
}
