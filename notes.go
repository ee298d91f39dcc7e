package hauberk

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Notes says in words what the configuration weakens, for the start and for
// every audit.
func (c *Chain) Notes() []string {
	var notes []string
	for i := range c.config.Sites {
		s := &c.config.Sites[i]
		who := "site " + strconv.Quote(c.sites.all[i].base.Site)
		if s.Access == "app" {
			notes = append(notes, who+": access: app — the app alone decides who may do what")
		}
		if s.MethodOverride != "" {
			notes = append(notes, fmt.Sprintf("%s: method_override: %s — a POST may name another method there", who, s.MethodOverride))
		}
	}
	for n := range c.sites.sections {
		if n == 0 {
			continue
		}
		s, where := c.sites.sections[n], c.sites.paths[n]
		if s.Headers.Profile == "compat" && (n == 1 || c.sites.sections[n].Headers != c.sites.sections[n-1].Headers) {
			notes = append(notes, where+": headers: compat — scripts of the page are not restricted yet")
		}
		for _, o := range s.CSRF.TrustedOrigins {
			if n == 1 || c.sites.sections[n].CSRF != c.sites.sections[n-1].CSRF {
				notes = append(notes, fmt.Sprintf("%s: csrf.trusted_origins: %s may send requests", where, strconv.Quote(o)))
			}
		}
		for _, o := range s.Headers.CORSOrigins {
			if n == 1 || c.sites.sections[n].Headers != c.sites.sections[n-1].Headers {
				notes = append(notes, fmt.Sprintf("%s: headers.cors_origins: %s may read answers", where, strconv.Quote(o)))
			}
		}
	}
	for i := range c.exceptions {
		e := &c.exceptions[i]
		where := "everywhere"
		if e.On != "" {
			where = "on " + strconv.Quote(e.On)
		}
		if e.Field != "" {
			where += ", field " + strconv.Quote(e.Field)
		}
		until := e.Until.Format(time.DateOnly)
		if !time.Now().Before(e.Until) {
			notes = append(notes, fmt.Sprintf("exceptions[%d]: %s %s has lapsed on %s: the rule applies again", i, e.Rule, where, until))
			continue
		}
		notes = append(notes, fmt.Sprintf("exceptions[%d]: %s is not enforced %s until %s: %s", i, e.Rule, where, until, strings.TrimSpace(strconv.Quote(e.Because))))
	}
	return notes
}

// Standing says where each public name stands on the ramp of
// Strict-Transport-Security.
func (c *Chain) Standing() []string { return c.https.Standing() }
