// Package https refuses clear text and keeps the keys.
//
// Whoever reads or changes a request on its way owns the session in it, so
// nothing is served in clear text: a person's navigation is sent to https on the
// same host, anything else is refused, because a program that is redirected
// would go on sending its first copy in the clear for ever. On a developer's
// machine a local authority, bound by name constraints to names that only that
// machine can own, makes the certificates, so that there is no excuse for clear
// text in development either.
package https

import (
	"context"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/https/acme"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the https section. Its zero value serves local names with the
// local authority and refuses to start with any other name.
type Config struct {
	// Certificates are the certificates of names that are not local. They are
	// read again when they change.
	Certificates []Pair `yaml:"certificates"`
	// ACME obtains certificates for public names that Certificates leave out.
	ACME ACME `yaml:"acme"`
	// MinTLS is the oldest version that is spoken: "1.2" (the default) or "1.3".
	MinTLS string `yaml:"min_tls" enum:"1.2,1.3"`
	// Port is the TLS port that browsers see, for redirects; the default is the
	// port on which Hauberk listens, or 443.
	Port int `yaml:"port"`
	// HSTS is how long a browser shall refuse clear text, at most 87600h (ten
	// years), in whole seconds. 0 is the ramp: 300 s, a day, 30 days and two
	// years, each after some time of service at the one before.
	HSTS time.Duration `yaml:"hsts"`
	// HSTSSubdomains extends it to every subdomain.
	HSTSSubdomains bool `yaml:"hsts_subdomains"`
	// HSTSPreload asks to be built into browsers, which takes months to undo. It
	// needs HSTSSubdomains and at least 8760h (a year).
	HSTSPreload bool `yaml:"hsts_preload"`
	// HSTSLocal sends it on localhost, .localhost, .test and addresses too, where
	// it would bind every other port of the same name.
	HSTSLocal bool `yaml:"hsts_local"`
	// HSTSWithdraw sends max-age=0 instead, on local names too: browsers forget
	// what they were told.
	HSTSWithdraw bool `yaml:"hsts_withdraw"`
}

// Pair names the two files of one certificate.
type Pair struct {
	// Cert is a PEM file: the certificate, then its intermediates.
	Cert string `yaml:"cert"`
	// Key is a PEM file: the private key of Cert.
	Key string `yaml:"key"`
}

// Options are what the root knows and the section does not.
type Options struct {
	// Hosts are the names that the sites serve: "shop.example.com",
	// "*.localhost", "127.0.0.1", "127.0.0.0/8". The star stands for one label or
	// more.
	Hosts []string
	// Dir holds the local authority, and what is obtained; "" keeps the authority
	// in memory and obtains nothing.
	Dir string
	// Trial says that the room is made to find mistakes, without the directory
	// that it will have: it is not missed.
	Trial bool
	// NoListener says that TLS ends elsewhere, at the caller's own listener or at
	// a trusted proxy: no name needs a certificate here, and none is made.
	NoListener bool
	// Clear says that a listener of ours takes clear text, where an authority
	// can look for the answer to a challenge.
	Clear bool
	// Renew is how often obtained certificates are looked at; 0 is 10 minutes.
	Renew time.Duration
	// AllowLoopbackClear lets a loopback client that asked for a loopback host
	// pass in clear text, if the request came by a listener that is not ours:
	// what our own listener took carries guard.Conn and is never let pass.
	AllowLoopbackClear bool
	// Record takes events outside a request; nil drops them.
	Record func(guard.Event)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Room is the principle at work.
type Room struct {
	c       Config
	o       Options
	hosts   hosts
	files   *keeper
	ca      *authority
	acme    *acme.Keeper // nil where no name needs it
	public  []string     // the names that it keeps
	tickets *tickets
	ramp    *ramp
	headers []string
	routes  []Config
	strange atomic.Int64
	skipped atomic.Int64

	reminded map[string]time.Time // of the end of obtained certificates
}

const (
	day        = 24 * time.Hour
	defaultAge = 300 * time.Second
	mostAge    = 3650 * day
	preloadAge = 365 * day
)

// New validates c, reads the certificates and opens or makes the local
// authority where a name needs it.
func New(c Config, o Options) (*Room, error) {
	if o.Record == nil {
		o.Record = func(guard.Event) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Room{c: c, o: o, tickets: newTickets(o.Now), reminded: map[string]time.Time{}}
	var errs []error
	if c.MinTLS != "" && c.MinTLS != "1.2" && c.MinTLS != "1.3" {
		errs = append(errs, fmt.Errorf("https.min_tls: %q is not a version: want \"1.2\" or \"1.3\"", c.MinTLS))
	}
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("https.port: %d is not a port: want 1 to 65535", c.Port))
	}
	for _, h := range o.Hosts {
		p, err := parsePattern(h)
		if err != nil {
			errs = append(errs, fmt.Errorf("https: host %q: %w", h, err))
			continue
		}
		r.hosts = append(r.hosts, p)
	}
	errs = append(errs, r.Route(0, c))
	files, err := openKeeper(c.Certificates, o)
	errs = append(errs, err)
	r.files = files
	authorities, err := c.ACME.compile()
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := r.cover(authorities); err != nil {
		return nil, err
	}
	r.ramp = openRamp(r.hosts, o)
	return r, nil
}

// cover finds a certificate for every host, or opens the local authority, or
// has one obtained.
func (r *Room) cover(authorities []acme.Authority) error {
	if r.o.NoListener {
		return nil
	}
	var errs []error
	local := false
	var public []string
	for _, p := range r.hosts {
		switch {
		case r.files.covers(r.files.now(), p):
			r.files.needed = append(r.files.needed, p)
		case p.mintable():
			local = true
		case r.c.ACME.Agreed && p.obtainable():
			public = append(public, p.host.name)
		case r.c.ACME.Agreed:
			errs = append(errs, fmt.Errorf("https.certificates: no certificate covers %s, and https.acme "+
				"obtains none for a wildcard or an address: list its files as {cert, key}", p.text))
		default:
			errs = append(errs, fmt.Errorf("https.certificates: no certificate covers %s: "+
				"list its files as {cert, key}, have one obtained by https.acme, or serve a name under .localhost or .test", p.text))
		}
	}
	if len(public) > 0 && r.o.Dir == "" && !r.o.Trial {
		errs = append(errs, fmt.Errorf("https.acme: needs a state directory for the accounts and keys of %s: set state", strings.Join(public, ", ")))
	}
	if len(errs) == 0 && len(public) > 0 {
		r.openACME(authorities, public)
	}
	if err := errors.Join(errs...); err != nil || !local {
		return err
	}
	ca, err := openAuthority(r.o.Dir, r.o.Now)
	if err != nil {
		return err
	}
	if left := ca.cert.NotAfter.Sub(r.o.Now()); left < leafLife {
		r.record(expiry.Noted("the local authority ends on %s: remove %s and %s, start again, and run hauberk trust",
			ca.cert.NotAfter.Format(time.DateOnly), caName, caKeyName))
	}
	r.ca = ca
	return nil
}

// Route takes the settings of route n; c is complete. Only hsts may differ from
// the top level: all else holds for the listener, which knows no route yet.
func (r *Room) Route(n int, c Config) error {
	var errs []error
	if n != 0 {
		if !slices.Equal(c.Certificates, r.c.Certificates) {
			errs = append(errs, errors.New("https.certificates: holds for the whole listener: set it at the top"))
		}
		if !c.ACME.equal(r.c.ACME) {
			errs = append(errs, errors.New("https.acme: holds for the whole listener: set it at the top"))
		}
		if c.MinTLS != r.c.MinTLS {
			errs = append(errs, errors.New("https.min_tls: holds for the whole listener: set it at the top"))
		}
		if c.Port != r.c.Port {
			errs = append(errs, errors.New("https.port: holds for the whole listener: set it at the top"))
		}
	}
	value, err := hsts(c)
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	top := value
	if n > 0 {
		top = r.headers[0]
	}
	for len(r.routes) <= n {
		r.routes, r.headers = append(r.routes, r.c), append(r.headers, top)
	}
	r.routes[n], r.headers[n] = c, value
	return nil
}

// CA returns the certificate of the local authority, nil where no name needs it.
func (r *Room) CA() *x509.Certificate {
	if r.ca == nil {
		return nil
	}
	return r.ca.cert
}

// Check redirects or refuses clear text, but for the challenges of an
// authority. It stands where the route is known.
func (r *Room) Check(next http.Handler) http.Handler { return r.prove(guard.Check(r.check)(next)) }

// Succeed goes on with what the room that stood before knows, at a reload:
// session tickets stay good, names stand where they stood on the ramp, and what
// was obtained is shown until Run has read it again. The root calls it before r
// sees its first handshake.
func (r *Room) Succeed(old *Room) {
	r.tickets = old.tickets
	r.ramp.succeed(old.ramp)
	if r.acme != nil && old.acme != nil {
		r.acme.Succeed(old.acme)
	}
}

// Sign sets Strict-Transport-Security. It stands outside every room that may
// refuse, so that refusals carry it too (ASVS 3.4.1).
func (r *Room) Sign(next http.Handler) http.Handler { return guard.Amend(r.amend)(next) }

// Principle labels the room; its Wrap is Check inside Sign.
func (r *Room) Principle() *guard.Principle {
	return &guard.Principle{
		Name: "https", Number: 5, Files: files,
		Rules: []*guard.Rule{redirect, clearText, unknownName, reload, expiry, exposed, hstsStep, issuance},
		Wrap:  func(next http.Handler) http.Handler { return r.Sign(r.Check(next)) },
		Run:   r.run,
	}
}

// run looks at the files when no handshake does, climbs the ramp, and obtains
// certificates.
func (r *Room) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	obtained := make(chan error, 1)
	go func() { obtained <- r.obtain(ctx) }()
	look, climb := time.NewTicker(lookIdle), time.NewTicker(rampTick)
	defer look.Stop()
	defer climb.Stop()
	defer r.ramp.keep()
	for {
		select {
		case err := <-obtained:
			return err
		case <-look.C:
			r.files.look()
			r.agePublic()
		case <-climb.C:
			r.ramp.climb()
		}
	}
}

func (r *Room) record(e guard.Event) { r.files.record(e) }
