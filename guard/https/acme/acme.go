// Package acme obtains certificates from public authorities and renews them.
//
// certmagic keeps them, asks for renewal information (ARI, RFC 9773) and
// decides when to renew. What it asks is ours: an issuer that opens no listener
// of its own, since the answers to challenges belong to the listeners of the
// house, and that asks no authority whose terms nobody has read.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
)

// Proto is the protocol of TLS-ALPN-01 (RFC 8737).
const Proto = "acme-tls/1"

// Authority is one that certificates are asked of.
type Authority struct {
	// Directory is the URL of its ACME directory.
	Directory string
	// Roots verify it; nil means the system's.
	Roots *x509.CertPool
}

// Options are what a Keeper needs from its maker.
type Options struct {
	// Dir holds accounts, keys and certificates.
	Dir string
	// Email is told to the authorities; "" for none.
	Email string
	// Authorities are asked in turn, until one issues.
	Authorities []Authority
	// Names each get a certificate of their own.
	Names []string
	// HTTP and TLS say which challenges the listeners can answer: HTTP-01 in
	// clear text, TLS-ALPN-01 over TLS.
	HTTP, TLS bool
	// Check is how often certificates are looked at; 0 is ten minutes.
	Check time.Duration
	// Took is told of each certificate, Failed of whatever went wrong.
	Took, Failed func(text string)
}

// Keeper has the certificates. Without Run it has none.
type Keeper struct {
	o       Options
	answers *answers
	// caches are its own, and those of the Keepers before until it has looked at
	// every name once.
	caches atomic.Pointer[[]*certmagic.Cache]
}

// maxCaches bounds those that stand in, if reload follows reload.
const maxCaches = 4

// New makes a Keeper.
func New(o Options) *Keeper {
	if o.Check == 0 {
		o.Check = certmagic.DefaultRenewCheckInterval
	}
	return &Keeper{o: o, answers: &answers{http: map[answer]string{}, tls: map[string]*proof{}}}
}

// Directories are those of the authorities, in turn.
func (k *Keeper) Directories() []string {
	var all []string
	for _, a := range k.o.Authorities {
		all = append(all, a.Directory)
	}
	return all
}

// Succeed shows the certificates of the Keeper that stood before, and answers
// the challenges open there, until Run has looked at every name. It is called
// before anything else of k.
func (k *Keeper) Succeed(old *Keeper) {
	k.caches.Store(old.caches.Load())
	k.answers = old.answers
}

// Run obtains and renews until ctx is done.
func (k *Keeper) Run(ctx context.Context) error {
	if k.o.Dir == "" {
		return errors.New("https.acme: a chain that was only tried obtains nothing")
	}
	log := logger(k.o.Failed)
	var config *certmagic.Config
	var made sync.WaitGroup
	made.Add(1)
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { made.Wait(); return config, nil },
		RenewCheckInterval: k.o.Check, Logger: log,
	})
	defer cache.Stop()
	storage := &certmagic.FileStorage{Path: filepath.Join(k.o.Dir, "acme")}
	template := certmagic.Config{Storage: storage, Logger: log, OnEvent: k.event}
	for _, a := range k.o.Authorities {
		template.Issuers = append(template.Issuers, newIssuer(k, a, storage))
	}
	config = certmagic.New(cache, template)
	made.Done()
	caches := []*certmagic.Cache{cache}
	if before := k.caches.Load(); before != nil {
		caches = append(caches, (*before)[:min(len(*before), maxCaches-1)]...)
	}
	k.caches.Store(&caches)
	var all, begun sync.WaitGroup
	begun.Add(len(k.o.Names))
	for _, name := range k.o.Names {
		all.Go(func() { k.keep(ctx, config, name, begun.Done) })
	}
	all.Go(func() {
		begun.Wait()
		if ctx.Err() == nil {
			k.caches.Store(&[]*certmagic.Cache{cache})
		}
	})
	<-ctx.Done()
	all.Wait()
	return nil
}

func (k *Keeper) event(_ context.Context, event string, data map[string]any) error {
	if event == "cert_obtained" {
		k.o.Took(fmt.Sprintf("%v: took a certificate from %v", data["identifier"], data["issuer"]))
	}
	return nil
}

// Certificates returns those that stand for name, the one that lasts longest
// first.
func (k *Keeper) Certificates(name string) []*tls.Certificate {
	caches := k.caches.Load()
	if caches == nil {
		return nil
	}
	for _, cache := range *caches {
		if all := held(cache, name); len(all) > 0 {
			return all
		}
	}
	return nil
}

func held(cache *certmagic.Cache, name string) []*tls.Certificate {
	var all []*tls.Certificate
	for _, c := range cache.AllMatchingCertificates(name) {
		if c.Leaf == nil {
			continue
		}
		all = append(all, &c.Certificate)
		for i := len(all) - 1; i > 0 && all[i].Leaf.NotAfter.After(all[i-1].Leaf.NotAfter); i-- {
			all[i], all[i-1] = all[i-1], all[i]
		}
	}
	return all
}

// Answer returns the answer to an HTTP-01 challenge (RFC 8555, 8.3). The token
// must be one that an authority gave us for this very host: an answer made of
// whatever was asked would let anybody who can point a name at us have a
// certificate for it.
func (k *Keeper) Answer(r *http.Request, host string) (string, bool) {
	const prefix = "/.well-known/acme-challenge/"
	if r.Method != http.MethodGet || len(r.URL.Path) <= len(prefix) || r.URL.Path[:len(prefix)] != prefix {
		return "", false
	}
	return k.answers.get(host, r.URL.Path[len(prefix):])
}

// Proof returns the certificate that answers a TLS-ALPN-01 challenge for name,
// nil where none is open.
func (k *Keeper) Proof(name string) *tls.Certificate { return k.answers.proof(name) }
