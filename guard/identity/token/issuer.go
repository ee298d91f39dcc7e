package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/remote"
	"hauberk.dev/internal/owner"
)

// Skew is how far an issuer's clock may be from ours.
const Skew = time.Minute

// Config is one issuer of bearer tokens. Its zero value accepts none.
type Config struct {
	// Issuer is the claim iss, to the letter.
	Issuer string `yaml:"issuer"`
	// Audience lists what aud may be: the names of this site at the issuer. A
	// token that is for somebody else only is refused.
	Audience []string `yaml:"audience"`
	// JWKS is where the issuer's keys are, or, as JSON, the keys themselves.
	// Without it and without keys the issuer's metadata say where
	// ("/.well-known/openid-configuration").
	JWKS string `yaml:"jwks"`
	// Keys is a file with the keys, in place of asking anybody.
	Keys string `yaml:"keys"`
	// Algorithms may sign; default ES256, ES384, EdDSA, PS256, RS256.
	Algorithms []string `yaml:"algorithms"`
	// Types are what the header's typ may be; default at+jwt (RFC 9068) and
	// JWT. "none" is a token without one.
	Types []string `yaml:"types"`
	// Scopes is the claim that lists the scopes; default scope, then scp.
	Scopes string `yaml:"scopes"`
	// Roles gives a role to the subjects of tokens for which the rule holds.
	// Without it a token has no role, whatever stands in it.
	Roles map[string]Match `yaml:"roles"`
}

// Weakened says of every key in which c allows more than the default does.
func (c Config) Weakened() []string {
	var weak []string
	if slices.Contains(c.Types, "none") {
		weak = guard.Each(weak, "types", []string{"none"}, "lets in tokens that do not say what they are for")
	}
	for _, at := range []string{c.Issuer, c.JWKS} {
		if remote.Plain(at) && c.Keys == "" {
			weak = guard.Each(weak, "issuer", []string{at}, "is asked for keys without TLS")
		}
	}
	return Added(weak, c.Algorithms)
}

// issuer is a Config that was found right.
type issuer struct {
	Config
	algorithms, types []string
	keys              *Source
}

func newIssuer(c Config, path string) (*issuer, error) {
	is := &issuer{Config: c, types: []string{"at+jwt", "jwt"}}
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s.%s: %w", path, key, fmt.Errorf(format, args...)))
	}
	if c.Issuer == "" {
		fail("issuer", "want the issuer's name")
	}
	if len(c.Audience) == 0 || slices.Contains(c.Audience, "") {
		fail("audience", "want what tokens for this site have as aud")
	}
	var err error
	if is.algorithms, err = Algorithms(c.Algorithms, path+".algorithms"); err != nil {
		errs = append(errs, err)
	}
	if len(c.Types) > 0 {
		is.types = nil
	}
	for i, t := range c.Types {
		t = strings.TrimPrefix(strings.ToLower(t), "application/")
		if t == "" || strings.HasPrefix(t, "hauberk-") {
			fail(fmt.Sprintf("types[%d]", i), "%q is not the type of a bearer token", c.Types[i])
		}
		is.types = append(is.types, t)
	}
	for role, m := range c.Roles {
		errs = append(errs, m.Check(path+".roles."+role))
	}
	errs = append(errs, is.source(path))
	return is, errors.Join(errs...)
}

// source sets where the keys come from.
func (is *issuer) source(path string) error {
	switch {
	case is.Keys != "" && is.JWKS != "":
		return fmt.Errorf("%s.keys: stands beside jwks: want one of them", path)
	case strings.HasPrefix(is.JWKS, "{"):
		k, err := ReadKeys([]byte(is.JWKS), is.algorithms)
		if err != nil {
			return fmt.Errorf("%s.jwks: %w", path, err)
		}
		is.keys = &Source{fixed: k}
		return nil
	case is.Keys != "":
		k, err := is.listed()
		if err != nil {
			return fmt.Errorf("%s.keys: %w", path, err)
		}
		is.keys = &Source{fixed: k}
		return nil
	case is.JWKS != "":
		if err := remote.Check(is.JWKS, true); err != nil {
			return fmt.Errorf("%s.jwks: %w", path, err)
		}
	default:
		if err := remote.Check(is.Issuer, true); err != nil {
			return fmt.Errorf("%s.issuer: %w; or write jwks or keys", path, err)
		}
	}
	client := remote.Client()
	is.keys = Remote(func(ctx context.Context) (*Keys, time.Duration, error) {
		return Fetch(ctx, client, is.JWKS, is.Issuer, is.algorithms)
	})
	return nil
}

// listed reads the file with the keys.
func (is *issuer) listed() (*Keys, error) {
	data, err := bounded(is.Keys)
	if err != nil {
		return nil, err
	}
	k, err := ReadKeys(data, is.algorithms)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", is.Keys, err)
	}
	return k, nil
}

// bounded reads a file of at most remote.MaxBody bytes.
func bounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Who can write this file can be anybody.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := owner.Only(name, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, remote.MaxBody+1))
	if err == nil && len(data) > remote.MaxBody {
		err = fmt.Errorf("%s: more than %d bytes", name, remote.MaxBody)
	}
	return data, err
}

// Fetch gets the keys that stand at a URL, or where it is "" at the one that
// the metadata of the issuer name.
func Fetch(ctx context.Context, c *http.Client, jwks, issuer string, algorithms []string) (*Keys, time.Duration, error) {
	if jwks == "" {
		m, _, err := Discover(ctx, c, issuer)
		if err != nil {
			return nil, 0, err
		}
		jwks, _ = m.Text("jwks_uri")
		if err := remote.Check(jwks, remote.Plain(issuer)); err != nil {
			return nil, 0, fmt.Errorf("metadata of %s: jwks_uri: %w", issuer, err)
		}
	}
	data, header, err := remote.Get(ctx, c, jwks, nil)
	if err != nil {
		return nil, 0, err
	}
	k, err := ReadKeys(data, algorithms)
	if err != nil {
		return nil, 0, fmt.Errorf("GET %s: %w", jwks, err)
	}
	return k, remote.Lasts(header), nil
}

// Discover gets the metadata of an issuer (OpenID Connect Discovery, 4). The
// issuer that they name must be the one that was asked, to the letter, or one
// issuer could speak for another (4.3).
func Discover(ctx context.Context, c *http.Client, issuer string) (Claims, time.Duration, error) {
	at := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	data, header, err := remote.Get(ctx, c, at, nil)
	if err != nil {
		return nil, 0, err
	}
	m, err := Object(data)
	if err != nil {
		return nil, 0, fmt.Errorf("GET %s: %w", at, err)
	}
	if name, _ := m.Text("issuer"); name != issuer {
		return nil, 0, fmt.Errorf("GET %s: these are the metadata of %.200q", at, name)
	}
	return m, remote.Lasts(header), nil
}
