package https

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/https/acme"
)

var issuance = &guard.Rule{
	ID: "https.acme", Severity: guard.High,
	Title: "a certificate cannot be obtained or renewed", CWE: 298, ASVS: []string{"12.2.2"},
	Fix: "see the authority's reason in the event; the name must lead here on ports 80 or 443, and the authority be reachable",
}

// ChallengeProto is the protocol of a handshake that answers a challenge and
// carries nothing.
const ChallengeProto = acme.Proto

// letsEncrypt is asked where no authority is named.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// ACME is the section of public certificates. Its zero value asks nobody.
type ACME struct {
	// Agreed says that you have read the terms of every authority in
	// Authorities and accept them. Without it none is asked.
	Agreed bool `yaml:"agreed"`
	// Email is where an authority can reach you; "" for nowhere.
	Email string `yaml:"email"`
	// Authorities are asked in turn, until one issues. The default is Let's
	// Encrypt alone.
	Authorities []Authority `yaml:"authorities"`
}

// Authority is one that certificates are asked of by ACME (RFC 8555).
type Authority struct {
	// Directory is the URL of its directory, with https.
	Directory string `yaml:"directory"`
	// Roots is a PEM file of the roots that verify the authority itself; ""
	// means the system's.
	Roots string `yaml:"roots"`
}

func (a ACME) equal(b ACME) bool {
	return a.Agreed == b.Agreed && a.Email == b.Email && slices.Equal(a.Authorities, b.Authorities)
}

// compile judges the section and reads the files that it names.
func (a ACME) compile() ([]acme.Authority, error) {
	var errs []error
	if a.Email != "" {
		if m, err := mail.ParseAddress(a.Email); err != nil || m.Address != a.Email {
			errs = append(errs, fmt.Errorf("https.acme.email: %q is not a bare address", a.Email))
		}
	}
	if !a.Agreed && (a.Email != "" || len(a.Authorities) > 0) {
		errs = append(errs, errors.New("https.acme.agreed: missing: read the authorities' terms and say true, or leave the section out"))
	}
	list := a.Authorities
	if len(list) == 0 {
		list = []Authority{{Directory: letsEncrypt}}
	}
	var out []acme.Authority
	seen := map[string]bool{}
	for i, in := range list {
		at := fmt.Sprintf("https.acme.authorities[%d]", i)
		u, err := url.Parse(in.Directory)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			errs = append(errs, fmt.Errorf("%s.directory: %q is not the URL of a directory: want https://…", at, in.Directory))
		} else if seen[u.Host+u.Path] {
			errs = append(errs, fmt.Errorf("%s.directory: %s is there twice", at, in.Directory))
		} else {
			seen[u.Host+u.Path] = true
		}
		one := acme.Authority{Directory: in.Directory}
		if in.Roots != "" {
			text, err := read(in.Roots)
			one.Roots = x509.NewCertPool()
			if err == nil && !one.Roots.AppendCertsFromPEM(text) {
				err = fmt.Errorf("%s holds no certificate", in.Roots)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s.roots: %w", at, err))
			}
		}
		out = append(out, one)
	}
	return out, errors.Join(errs...)
}

// obtainable says that an authority can issue for every name under p by the
// challenges that we answer: a wildcard takes one in the DNS (RFC 8555, 8.4).
func (p pattern) obtainable() bool {
	return !p.wild && !p.prefix.IsValid() && !p.host.addr.IsValid()
}

// openACME prepares what obtains certificates for names.
func (r *Room) openACME(authorities []acme.Authority, names []string) {
	told := func(v guard.Verdict) func(string) {
		return func(text string) { r.record(r.files.stamp(issuance.Noted("%s", text), v)) }
	}
	r.acme = acme.New(acme.Options{
		Dir: r.o.Dir, Email: r.c.ACME.Email, Authorities: authorities, Names: names,
		HTTP: r.o.Clear, TLS: !r.o.NoListener, Check: r.o.Renew,
		Took: told(guard.Noted), Failed: told(guard.Failed),
	})
	r.public = names
}

// Obtains says which names get their certificates by ACME, and the directories
// of the authorities that are asked, in turn.
func (r *Room) Obtains() (names, directories []string) {
	if r.acme == nil {
		return nil, nil
	}
	return r.public, r.acme.Directories()
}

var errNotYet = errors.New("there is no certificate for this name yet")

// obtained returns the certificate of a public name.
func (r *Room) obtained(name string, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !slices.Contains(r.public, name) {
		return nil, nil
	}
	all := r.acme.Certificates(name)
	for _, c := range all {
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	if len(all) > 0 {
		return all[0], nil
	}
	return nil, errNotYet
}

// challenge answers TLS-ALPN-01 for a name of ours that an authority is
// looking at right now, and for no other.
func (r *Room) challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if h, ok := parseHost(hello.ServerName); ok && r.hosts.cover(h) {
		if c := r.acme.Proof(h.name); c != nil {
			return c, nil
		}
	}
	r.refused(hello)
	return nil, nil
}

// prove answers HTTP-01 before clear text is refused: the authority asks in
// clear text, as there may be no certificate yet.
func (r *Room) prove(next http.Handler) http.Handler {
	if r.acme == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if h, ok := splitHost(q.Host); ok && r.hosts.cover(h) {
			if text, ok := r.acme.Answer(q, h.name); ok {
				w.Header().Set("Content-Type", "application/octet-stream")
				io.WriteString(w, text)
				return
			}
		}
		next.ServeHTTP(w, q)
	})
}

// obtain keeps public certificates until ctx is done.
func (r *Room) obtain(ctx context.Context) error {
	if r.acme == nil {
		<-ctx.Done()
		return nil
	}
	return r.acme.Run(ctx)
}

// agePublic tells of obtained certificates as age does of configured ones.
func (r *Room) agePublic() {
	now := r.o.Now()
	for _, name := range r.public {
		all := r.acme.Certificates(name)
		if len(all) == 0 || now.Sub(r.reminded[name]) < remind {
			continue
		}
		leaf := all[0].Leaf
		if left := leaf.NotAfter.Sub(now); left < leaf.NotAfter.Sub(leaf.NotBefore)/5 {
			r.reminded[name] = now
			r.record(r.files.stamp(expiry.Noted("https.acme: the certificate of %s ends or has ended on %s and was not renewed",
				name, leaf.NotAfter.UTC().Format(time.DateTime)), guard.Noted))
		}
	}
}
