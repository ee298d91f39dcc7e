package acme

import (
	"context"
	"crypto/tls"
	"strings"
	"sync"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// answers are those to the challenges that are open at this moment.
type answers struct {
	mu   sync.Mutex
	http map[answer]string
	tls  map[string]*proof
}

type answer struct{ host, token string }

type proof struct {
	token string
	cert  *tls.Certificate
}

func (a *answers) get(host, token string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text, ok := a.http[answer{strings.ToLower(host), token}]
	return text, ok
}

func (a *answers) proof(name string) *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.tls[strings.ToLower(name)]; p != nil {
		return p.cert
	}
	return nil
}

// overHTTP solves HTTP-01.
type overHTTP struct{ *answers }

// Present keeps the answer until the authority has asked.
func (s overHTTP) Present(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http[answer{strings.ToLower(c.Identifier.Value), c.Token}] = c.KeyAuthorization
	return nil
}

// CleanUp forgets the answer.
func (s overHTTP) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.http, answer{strings.ToLower(c.Identifier.Value), c.Token})
	return nil
}

// overTLS solves TLS-ALPN-01.
type overTLS struct{ *answers }

// Present keeps the certificate that proves it.
func (s overTLS) Present(_ context.Context, c acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tls[strings.ToLower(c.Identifier.Value)] = &proof{c.Token, cert}
	return nil
}

// CleanUp forgets the certificate, unless another challenge has replaced it.
func (s overTLS) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.ToLower(c.Identifier.Value)
	if p := s.tls[name]; p != nil && p.token == c.Token {
		delete(s.tls, name)
	}
	return nil
}
