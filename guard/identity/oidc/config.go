package oidc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/remote"
	"hauberk.dev/guard/identity/token"
	"hauberk.dev/internal/owner"
)

// Config is one OpenID provider. Its zero value lets nobody in.
type Config struct {
	// Name stands in the addresses of the provider: /.hauberk/oidc/NAME.
	Name string `yaml:"name"`
	// Title is what the sign-in page calls it; default its name.
	Title string `yaml:"title"`
	// Issuer is the provider's own name for itself, to the letter.
	Issuer string `yaml:"issuer"`
	// ClientID is the provider's name for this site.
	ClientID string `yaml:"client_id"`
	// ClientSecret is the secret of this site at the provider, and
	// ClientSecretFile a file that holds it, which is the better place. Without
	// one PKCE alone proves that who brings the code began the sign-in.
	ClientSecret     string `yaml:"client_secret"`
	ClientSecretFile string `yaml:"client_secret_file"`
	// Scopes are asked for beside openid; default profile and email.
	Scopes []string `yaml:"scopes"`
	// Algorithms may sign; default ES256, ES384, EdDSA, PS256, RS256. What the
	// provider says that it uses does not add to them.
	Algorithms []string `yaml:"algorithms"`
	// Allow says who may sign in.
	Allow token.Match `yaml:"allow"`
	// Anyone lets in everybody whom the provider knows. Default false.
	Anyone bool `yaml:"anyone"`
	// Roles gives a role to those for whom the rule holds.
	Roles map[string]token.Match `yaml:"roles"`
	// Groups is the claim that lists the groups; default groups.
	Groups string `yaml:"groups"`
	// UserInfo asks the provider's UserInfo endpoint for claims that the ID
	// token lacks.
	UserInfo bool `yaml:"userinfo"`
	// Refresh keeps a sealed refresh token with the session and ends the
	// session when the provider takes it no more.
	Refresh bool `yaml:"refresh"`
}

// Weakened says of every key in which c allows more than the default does.
func (c Config) Weakened() []string {
	var weak []string
	if c.Anyone {
		weak = append(weak, fmt.Sprintf("anyone: everybody whom %s knows may sign in", c.Issuer))
	}
	if c.ClientSecret != "" {
		weak = append(weak, "client_secret: stands in the config, for all who read it")
	}
	if remote.Plain(c.Issuer) {
		weak = guard.Each(weak, "issuer", []string{c.Issuer}, "is asked without TLS")
	}
	return token.Added(weak, c.Algorithms)
}

// check returns the secret and the algorithms of c, which stands at path.
func (c Config) check(path string, o Options) (secret string, algorithms []string, err error) {
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s.%s: %w", path, key, fmt.Errorf(format, args...)))
	}
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`).MatchString(c.Name) {
		fail("name", "%q: want a short word of a-z, 0-9 and hyphens", c.Name)
	}
	if err := remote.Check(c.Issuer, true); err != nil {
		fail("issuer", "%w", err)
	} else if strings.Contains(c.Issuer, "?") {
		fail("issuer", "%q: an issuer has no query", c.Issuer)
	}
	if c.ClientID == "" {
		fail("client_id", "want the provider's name for this site")
	}
	secret = c.ClientSecret
	if c.ClientSecretFile != "" {
		if secret != "" {
			fail("client_secret", "stands beside client_secret_file: want one of them")
		}
		if secret, err = readSecret(c.ClientSecretFile); err != nil {
			fail("client_secret_file", "%w", err)
		}
	}
	for i, s := range c.Scopes {
		if s == "" || strings.ContainsAny(s, " \t\r\n\"\\") {
			fail(fmt.Sprintf("scopes[%d]", i), "%q is not one scope", s)
		}
	}
	if algorithms, err = token.Algorithms(c.Algorithms, path+".algorithms"); err != nil {
		errs = append(errs, err)
	}
	if c.Anyone == (len(c.Allow) > 0) {
		fail("allow", "want who may sign in, such as {email_domain: [example.com]}, or anyone: true, and not both")
	}
	errs = append(errs, c.Allow.Check(path+".allow"))
	for role, m := range c.Roles {
		errs = append(errs, m.Check(path+".roles."+role))
	}
	if c.Refresh && o.Keeper == nil {
		fail("refresh", "there is nothing to keep the tokens in")
	}
	return secret, algorithms, errors.Join(errs...)
}

// readSecret reads a secret that nobody else can have put there.
func readSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if err := owner.Only(name, info); err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, 4097))
	secret := strings.TrimRight(string(data), "\r\n")
	if err == nil && (secret == "" || len(data) > 4096) {
		err = fmt.Errorf("%s: want a secret of at most 4096 bytes", name)
	}
	return secret, err
}

// scopes returns what is asked for.
func (c Config) scopes() []string {
	list := c.Scopes
	if list == nil {
		list = []string{"profile", "email"}
	}
	if c.Refresh {
		list = append(slices.Clone(list), "offline_access")
	}
	list = append([]string{"openid"}, list...)
	slices.Sort(list)
	return slices.Compact(list)
}
