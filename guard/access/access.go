// Package access decides on every request who may do what, and lets nobody in
// whom no rule names.
//
// It decides on the very request that goes up: the root has matched the
// canonical path once, as the app routes, and the room never reads a URL. The
// short rules of a site and the policies beside them are one Cedar policy set;
// a policy that cannot be evaluated refuses, where Cedar itself would skip it
// and a forbid with it.
package access

import (
	"embed"
	"time"

	"hauberk.dev/guard"
)

//go:embed README.md config.yaml attacks
var files embed.FS

// Config is the access key of a site. Its zero value lets nobody in.
type Config struct {
	// By says who decides: "app", the app does, and no rule may stand beside
	// it. "" means the rules.
	By string `yaml:"by" main:"true" enum:"app"`
	// Rules say who may go where; the narrower path wins, and what no rule
	// names is refused. A list in place of the section is this one.
	Rules []Rule `yaml:"rules" list:"true"`
	// Policies is a folder of Cedar policies, *.cedar, that hold beside the
	// rules. Default none.
	Policies string `yaml:"policies"`
	// Requestable are the roles that a refused person is told of, where one of
	// them would help. Default none.
	Requestable []string `yaml:"requestable"`
}

// Rule says who may go where.
type Rule struct {
	// On is a ServeMux pattern without a host, as that of a route.
	On string `yaml:"on"`
	// Allow names who may, any of them suffices: everyone, signed-in, token,
	// role:NAME, scope:NAME, owner:WILDCARD, tenant:WILDCARD.
	Allow []string `yaml:"allow"`
	// Tenant is a wildcard of On that must be the tenant of whoever is allowed.
	Tenant string `yaml:"tenant"`
	// Fresh is how long ago the sign-in may be. Default: as long as the session.
	Fresh time.Duration `yaml:"fresh"`
}

// Room holds what was decided about each site.
type Room struct{ sites map[string]*site }

// New makes a room that knows no site yet, and lets nobody in.
func New() *Room { return &Room{sites: map[string]*site{}} }

// Site sets what holds for the site whose first host is name: Resource.Site and
// Route.Site say it. Patterns are those of its routes, as written; Resource.On
// is one of them, one of c.Rules, or "". Mistakes are told with paths that
// begin with "access"; those of patterns are the root's to find.
func (r *Room) Site(name string, c Config, patterns []string) error {
	s, err := newSite(name, c, patterns)
	r.sites[name] = s
	return err
}

// Principle returns the third.
func (r *Room) Principle() *guard.Principle {
	return &guard.Principle{
		Name: "access", Number: 3, Files: files,
		Rules: []*guard.Rule{denied, signIn, stale, failing},
		Wrap:  r.Check,
	}
}
