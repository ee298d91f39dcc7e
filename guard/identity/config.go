package identity

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/password"
)

// check returns all that is wrong in c, but for the lists and the look of the
// pages, which their own packages judge.
func (c Config) check() []error {
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("identity."+key+": "+format, args...))
	}
	if c.Issuer != "" {
		if u, err := url.Parse(c.Issuer); err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			fail("issuer", "%q is not an https URL without query and fragment", c.Issuer)
		}
	}
	if c.Host != "" && !hostable(c.Host) {
		fail("host", "%q is not a host name in lower case, without scheme, port and wildcard, such as \"login.example.com\"", c.Host)
	}
	if len(c.Audience) > 256 || strings.ContainsFunc(c.Audience, unicode.IsControl) {
		fail("audience", "want at most 256 bytes and no control characters")
	}
	if c.Password.Min != 0 && (c.Password.Min < password.MinAlone || c.Password.Min > 64) {
		fail("password.min", "%d is not between %d and 64: a password stands alone here", c.Password.Min, password.MinAlone)
	}
	for i, w := range c.Password.Words {
		if len(w) < 2 || len(w) > 64 {
			fail(fmt.Sprintf("password.words[%d]", i), "want 2 to 64 bytes")
		}
	}
	return errs
}

// hostable says whether a name can be that of the pages: no address, since a
// certificate and cookies are for names.
func hostable(host string) bool {
	for label := range strings.SplitSeq(host, ".") {
		if strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	_, err := netip.ParseAddr(host)
	return err != nil && bare(host) && host == strings.ToLower(host) && !strings.ContainsAny(host, "[]_") && !strings.HasSuffix(host, ".")
}

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits.
func (c Config) Weakened() []string {
	weak := guard.Each(nil, "service_workers", c.ServiceWorkers, "may rule more than its folder")
	for i, p := range c.Providers {
		weak = append(weak, at("providers", i, p.Weakened())...)
	}
	for i, t := range c.Tokens {
		weak = guard.Each(weak, "tokens", []string{t.Issuer}, "may speak for users by bearer tokens")
		weak = append(weak, at("tokens", i, t.Weakened())...)
	}
	return weak
}

// at puts the place of item i of a list before what is weaker about it.
func at(list string, i int, weak []string) []string {
	for n, line := range weak {
		weak[n] = fmt.Sprintf("%s[%d].%s", list, i, line)
	}
	return weak
}
