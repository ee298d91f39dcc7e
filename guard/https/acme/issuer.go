package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

const (
	// askTime bounds one request, issueTime the whole order.
	askTime   = 30 * time.Second
	issueTime = 5 * time.Minute
)

// issuer asks one authority.
type issuer struct {
	k       *Keeper
	name    string // of its files: host and path of the directory
	client  *acmez.Client
	storage *certmagic.FileStorage
	mu      sync.Mutex // of the account
}

func newIssuer(k *Keeper, a Authority, storage *certmagic.FileStorage) *issuer {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: askTime,
		TLSClientConfig: &tls.Config{RootCAs: a.Roots, MinVersion: tls.VersionTLS12},
		IdleConnTimeout: time.Minute,
	}
	i := &issuer{k: k, name: fileName(a.Directory), storage: storage, client: &acmez.Client{
		Client: &acme.Client{
			Directory: a.Directory, UserAgent: "hauberk", PollTimeout: issueTime,
			HTTPClient: &http.Client{Transport: transport, Timeout: askTime},
		},
		ChallengeSolvers: map[string]acmez.Solver{},
	}}
	if k.o.HTTP {
		i.client.ChallengeSolvers[acme.ChallengeTypeHTTP01] = overHTTP{k.answers}
	}
	if k.o.TLS {
		i.client.ChallengeSolvers[acme.ChallengeTypeTLSALPN01] = overTLS{k.answers}
	}
	return i
}

// fileName makes one path segment of a URL.
func fileName(directory string) string {
	u, err := url.Parse(directory)
	if err != nil {
		return "unknown"
	}
	return strings.Trim(strings.NewReplacer("/", "-", `\`, "-", ":", "-").Replace(u.Host+u.Path), "-")
}

// IssuerKey names the authority in the storage and in events.
func (i *issuer) IssuerKey() string { return i.name }

// Issue obtains a certificate. Where the authority has issued the one before,
// it is told which one this replaces (RFC 9773, section 5).
func (i *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	ctx, cancel := context.WithTimeout(ctx, issueTime)
	defer cancel()
	chains, err := i.order(ctx, csr, i.before(ctx, csr))
	var problem acme.Problem
	if errors.As(err, &problem) && problem.Type == acme.ProblemTypeAccountDoesNotExist {
		// The authority was set up anew, or has removed the account.
		if err := i.storage.Delete(ctx, i.accountFile()); err != nil {
			return nil, err
		}
		chains, err = i.order(ctx, csr, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.name, err)
	}
	if len(chains) == 0 {
		return nil, fmt.Errorf("%s: the authority sent no certificate", i.name)
	}
	chain := chains[0]
	if chain.RenewalInfo == nil {
		i.inform(ctx, &chain)
	}
	return &certmagic.IssuedCertificate{Certificate: chain.ChainPEM, Metadata: chain}, nil
}

func (i *issuer) order(ctx context.Context, csr *x509.CertificateRequest, before *x509.Certificate) ([]acme.Certificate, error) {
	account, err := i.account(ctx)
	if err != nil {
		return nil, err
	}
	params, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return nil, err
	}
	params.Replaces = before
	chains, err := i.client.ObtainCertificate(ctx, params)
	var problem acme.Problem
	if before != nil && errors.As(err, &problem) && problem.Type == acme.ProblemTypeMalformed {
		params.Replaces = nil // it no longer knows the old one
		chains, err = i.client.ObtainCertificate(ctx, params)
	}
	return chains, err
}

// before returns the certificate that this authority issued last for the name,
// nil where it has ended or was none.
func (i *issuer) before(ctx context.Context, csr *x509.CertificateRequest) *x509.Certificate {
	if len(csr.DNSNames) != 1 {
		return nil
	}
	text, err := i.storage.Load(ctx, certmagic.StorageKeys.SiteCert(i.name, csr.DNSNames[0]))
	if err != nil {
		return nil
	}
	leaf, err := firstCertificate(text)
	if err != nil || time.Now().After(leaf.NotAfter) {
		return nil
	}
	return leaf
}

func firstCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no certificate in the file")
	}
	return x509.ParseCertificate(block.Bytes)
}

// account returns the account with the authority, made where it is missing.
func (i *issuer) account(ctx context.Context) (acme.Account, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var kept struct {
		Account acme.Account `json:"account"`
		Key     []byte       `json:"key"`
	}
	text, err := i.storage.Load(ctx, i.accountFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return acme.Account{}, fmt.Errorf("read the account: %w", err)
	default:
		var key *ecdsa.PrivateKey
		err := json.Unmarshal(text, &kept)
		if err == nil {
			key, err = x509.ParseECPrivateKey(kept.Key)
		}
		if err == nil {
			kept.Account.PrivateKey = key
			return kept.Account, nil
		}
		// No name would ever get a certificate with it.
		if err := i.k.rename(i.storage.Filename(i.accountFile()), fmt.Errorf("account with %s: %w", i.name, err)); err != nil {
			return acme.Account{}, err
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return acme.Account{}, err
	}
	fresh := acme.Account{TermsOfServiceAgreed: true, PrivateKey: key}
	if i.k.o.Email != "" {
		fresh.Contact = []string{"mailto:" + i.k.o.Email}
	}
	if kept.Account, err = i.client.NewAccount(ctx, fresh); err != nil {
		return acme.Account{}, fmt.Errorf("open an account: %w", err)
	}
	if kept.Key, err = x509.MarshalECPrivateKey(key); err != nil {
		return acme.Account{}, err
	}
	if text, err = json.Marshal(kept); err == nil {
		err = i.storage.Store(ctx, i.accountFile(), text)
	}
	if err != nil {
		return acme.Account{}, fmt.Errorf("keep the account: %w", err)
	}
	kept.Account.PrivateKey = key
	return kept.Account, nil
}

func (i *issuer) accountFile() string { return "accounts/" + i.name + ".json" }
