package hauberk

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Notes says in words what the configuration weakens, for the start and for
// every audit: what the rooms find weaker than their defaults, level by level,
// what a site leaves to the app, who is believed, and every exception.
func (c *Chain) Notes() []string {
	var notes []string
	for i := range c.config.Sites {
		s := &c.config.Sites[i]
		who := "site " + strconv.Quote(c.sites.all[i].base.Site)
		if s.Access.By == "app" {
			notes = append(notes, who+": access: app — the app alone decides who may do what")
		} else {
			for _, line := range s.Access.Weakened() {
				notes = append(notes, who+": access."+line)
			}
		}
		if s.MethodOverride != "" {
			notes = append(notes, fmt.Sprintf("%s: method_override: %s — a POST may name another method there", who, s.MethodOverride))
		}
	}
	if who, _ := c.Believed(); who != "" {
		notes = append(notes, "trusted_proxies: "+who)
	}
	notes = append(notes, named("monitor", c.config.Monitor.Weakened())...)
	notes = append(notes, named("identity", c.config.Identity.Weakened())...)
	for n, s := range c.sites.sections {
		var above []string
		where := ""
		if n > 0 {
			above, where = c.sites.sections[c.sites.parents[n]].weakened(), c.sites.paths[n]+": "
		}
		for _, line := range s.weakened() {
			// A site need not repeat the top level, nor a top level that every
			// site replaces be mentioned.
			if !slices.Contains(above, line) && (n > 0 || c.prevails(line)) {
				notes = append(notes, where+line)
			}
		}
	}
	for i := 0; i < len(c.exceptions); {
		n := 1
		for i+n < len(c.exceptions) && c.exceptions[i].alike(&c.exceptions[i+n]) {
			n++
		}
		notes = append(notes, note(c.exceptions[i:i+n], i))
		i += n
	}
	return notes
}

// prevails says whether a weakness of the top level holds in some site.
func (c *Chain) prevails(line string) bool {
	if len(c.sites.all) == 0 {
		return true
	}
	for _, st := range c.sites.all {
		if slices.Contains(c.sites.sections[st.base.N].weakened(), line) {
			return true
		}
	}
	return false
}

// weakened gathers what the rooms say of one level.
func (s Sections) weakened() []string {
	return slices.Concat(
		named("headers", s.Headers.Weakened()), named("fault", s.Fault.Weakened()),
		named("harden", s.Harden.Weakened()), named("https", s.HTTPS.Weakened()),
		named("ratelimit", s.RateLimit.Weakened()), named("session", s.Session.Weakened()), named("csrf", s.CSRF.Weakened()),
	)
}

func named(room string, lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = room + "." + line
	}
	return out
}

// alike says that two exceptions hold and differ in the rule alone.
func (e *exception) alike(o *exception) bool {
	return time.Now().Before(e.Until) && e.On == o.On && e.Field == o.Field && e.Because == o.Because && e.Until.Equal(o.Until)
}

// note says what exceptions let through that are alike, or that they have
// lapsed. The first is number i.
func note(same []exception, i int) string {
	e := &same[0]
	where := "everywhere"
	if e.On != "" {
		where = "on " + strconv.Quote(e.On)
	}
	if e.Field != "" {
		where += ", field " + strconv.Quote(e.Field)
	}
	until := e.Until.Format(time.DateOnly)
	if e.Until.Truncate(24*time.Hour) != e.Until {
		until = e.Until.Local().Format(time.DateTime)
	}
	if len(same) > 1 {
		var rules []string
		for _, one := range same {
			rules = append(rules, one.Rule)
		}
		return fmt.Sprintf("exceptions: %d rules are not enforced %s until %s: %s: %s", len(same), where, until, strconv.Quote(e.Because), strings.Join(rules, ", "))
	}
	if !time.Now().Before(e.Until) {
		return fmt.Sprintf("exceptions[%d]: %s %s has lapsed on %s: the rule applies again", i, e.Rule, where, until)
	}
	return fmt.Sprintf("exceptions[%d]: %s is not enforced %s until %s: %s", i, e.Rule, where, until, strconv.Quote(e.Because))
}

// Standing says where each public name stands on the ramp of
// Strict-Transport-Security.
func (c *Chain) Standing() []string { return c.https.Standing() }

// Issuance says which names get their certificates by ACME, from whom, and
// where the authorities can see that the names are ours: on the ports 80 and
// 443 (RFC 8555, 8.3; RFC 8737, 3), whatever ours are.
func (c *Chain) Issuance() []string {
	if !c.config.HTTPS.ACME.Agreed {
		return nil
	}
	names, directories := c.https.Obtains()
	switch {
	case c.config.Listen == NoListen:
		return []string{"nothing is obtained: listen is none, so TLS ends at the proxy"}
	case len(names) == 0:
		return []string{"nothing is obtained: no name is public but those in https.certificates"}
	}
	clear := "HTTP-01 is not answered: http is not set"
	switch {
	case c.config.HTTP != "":
		clear = "HTTP-01 is answered on http " + outside(c.config.HTTP, "80")
	case c.config.ProxyHTTP != "":
		clear = "HTTP-01 is answered on proxy_http " + c.config.ProxyHTTP + ", for the proxy that takes port 80 of these names"
	}
	return []string{
		strings.Join(names, ", ") + ": from " + strings.Join(directories, ", else "),
		clear,
		"TLS-ALPN-01 is answered on listen " + outside(cmp.Or(c.config.Listen, defaultListen), "443"),
	}
}

// outside says what must lead to addr so that who comes to port arrives.
func outside(addr, port string) string {
	if _, own, _ := net.SplitHostPort(addr); own == port {
		return addr
	}
	return addr + ": port " + port + " of these names must lead there"
}
