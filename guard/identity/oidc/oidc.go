// Package oidc refuses sign-ins that a provider did not make for this site,
// this browser and this moment.
//
// Who signs in is issuer and subject, never an e-mail address. Only the code
// flow exists, with PKCE; what a browser brings back must fit a cookie that it
// was given when it left, and an ID token is taken from the token endpoint
// alone. A provider that is down costs its own users their sign-in and nobody
// else anything.
package oidc

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"hauberk.dev/guard/identity/remote"
	"hauberk.dev/guard/identity/token"
	"hauberk.dev/internal/origin"
)

// Options are what the room hands over.
type Options struct {
	// Path is where the provider stands in the config, for messages.
	Path string
	// Key seals the cookies and the refresh tokens: 32 bytes, the same for all
	// providers. Without it one is made, which lasts as long as the process.
	Key []byte
	// Origin is that of the callback, "https://host"; "" takes that of each
	// request.
	Origin string
	// Keeper keeps refresh tokens, for Config.Refresh.
	Keeper Keeper
}

// Provider signs people in with one OpenID provider.
type Provider struct {
	Config
	secret     string
	algorithms []string
	origin     string
	client     *http.Client
	flows      cipher.AEAD
	tokens     cipher.AEAD
	keeper     Keeper
	about      remote.Value[metadata]
	keys       *token.Source
	states     seen
	logouts    seen
	renewals   renewals
}

// metadata is what we need of a provider's own account of itself.
type metadata struct {
	auth, token, jwks, userinfo, end string
	// answersIss says that the provider names itself in its answers (RFC 9207).
	answersIss bool
	style      oauth2.AuthStyle
}

// New checks c. The provider is asked when it is first needed, so that a gate
// starts while it is down.
func New(c Config, o Options) (*Provider, error) {
	path := o.Path
	if path == "" {
		path = "oidc"
	}
	secret, algorithms, err := c.check(path, o)
	if o.Origin != "" {
		if _, bad := origin.Listed(o.Origin); bad != nil {
			err = errors.Join(err, fmt.Errorf("%s: origin of the callback: %w", path, bad))
		}
	}
	if len(o.Key) == 0 {
		o.Key = make([]byte, 32)
		rand.Read(o.Key)
	}
	flows, bad := sealer(o.Key, "hauberk oidc flow")
	tokens, worse := sealer(o.Key, "hauberk oidc refresh")
	if err := errors.Join(err, bad, worse); err != nil {
		return nil, err
	}
	p := &Provider{Config: c, secret: secret, algorithms: algorithms, origin: o.Origin,
		client: remote.Client(), flows: flows, tokens: tokens, keeper: o.Keeper}
	p.about.Fetch = p.discover
	p.keys = token.Remote(func(ctx context.Context) (*token.Keys, time.Duration, error) {
		m, err := p.about.Load(ctx)
		if err != nil {
			return nil, 0, err
		}
		return token.Fetch(ctx, p.client, m.jwks, p.Issuer, algorithms)
	})
	return p, nil
}

// sealer makes an AES-256-GCM, whose standard nonces of chance hold for 2^32
// sealings of one key: at a thousand sign-ins a second, for 49 days of one
// process's own key.
func sealer(key []byte, label string) (cipher.AEAD, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("oidc: the sealing key has %d bytes, want 32", len(key))
	}
	own, err := hkdf.Key(sha256.New, key, nil, label, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// ID derives the account of a person from what names them for ever.
func ID(issuer, subject string) string {
	sum := sha256.Sum256([]byte("oidc\x00" + issuer + "\x00" + subject))
	return "u_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:26])
}

// discover reads the provider's metadata. Each endpoint must be one that a
// secret can be sent to.
func (p *Provider) discover(ctx context.Context) (*metadata, time.Duration, error) {
	c, lasts, err := token.Discover(ctx, p.client, p.Issuer)
	if err != nil {
		return nil, 0, err
	}
	m := &metadata{style: oauth2.AuthStyleInParams}
	var errs []error
	for name, to := range map[string]*string{"authorization_endpoint": &m.auth, "token_endpoint": &m.token,
		"jwks_uri": &m.jwks, "userinfo_endpoint": &m.userinfo, "end_session_endpoint": &m.end} {
		*to, _ = c.Text(name)
		optional := to == &m.userinfo && !p.UserInfo || to == &m.end
		if *to == "" && optional {
			continue
		}
		if err := remote.Check(*to, remote.Plain(p.Issuer)); err != nil {
			errs = append(errs, fmt.Errorf("metadata of %s: %s: %w", p.Issuer, name, err))
		}
	}
	m.answersIss = string(c["authorization_response_iss_parameter_supported"]) == "true"
	methods, listed := c.Texts("token_endpoint_auth_methods_supported")
	if p.secret != "" && (!listed || slices.Contains(methods, "client_secret_basic")) {
		m.style = oauth2.AuthStyleInHeader
	}
	return m, lasts, errors.Join(errs...)
}

// load returns the metadata, or that the provider cannot be asked.
func (p *Provider) load(ctx context.Context) (*metadata, error) {
	m, err := p.about.Load(ctx)
	if err != nil {
		return nil, Unavailable.because("%w", err)
	}
	return m, nil
}

// oauth returns the client of one flow, and a context that carries how to ask.
func (p *Provider) oauth(ctx context.Context, m *metadata, redirect string) (context.Context, *oauth2.Config) {
	return context.WithValue(ctx, oauth2.HTTPClient, p.client), &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.secret, RedirectURL: redirect, Scopes: p.scopes(),
		Endpoint: oauth2.Endpoint{AuthURL: m.auth, TokenURL: m.token, AuthStyle: m.style},
	}
}

// EndSession returns where a browser goes to end its session at the provider
// too (OpenID Connect RP-Initiated Logout), and false where it cannot.
func (p *Provider) EndSession(ctx context.Context, back string) (string, bool) {
	// A provider that is down must not keep anybody from signing out here.
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m, err := p.about.Load(ctx)
	if err != nil || m.end == "" {
		return "", false
	}
	return addQuery(m.end, "client_id", p.ClientID, "post_logout_redirect_uri", back), true
}
