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
	"errors"
	"fmt"
	"net/http"
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
// Route.Site say it. Patterns are those of its routes, as written; On of a
// Resource is one of them, one of c.Rules, or "". Mistakes are told with paths
// that begin with "access".
func (r *Room) Site(name string, c Config, patterns []string) error {
	s, err := newSite(name, c, patterns)
	r.sites[name] = s
	return err
}

// Principle returns the third.
func (r *Room) Principle() *guard.Principle {
	return &guard.Principle{
		Name: "access", Number: 3, Files: files,
		Rules: []*guard.Rule{denied, signIn, fresh, broken},
		Wrap:  r.Check,
	}
}

// Check refuses what nobody has allowed.
func (r *Room) Check(next http.Handler) http.Handler { return guard.Check(r.check)(next) }

// AsksRole says whether a role is among what lets somebody in where x goes.
func (r *Room) AsksRole(x *guard.Exchange) bool { return false }

var errUnmatched = errors.New("no resource was matched")

func (r *Room) check(req *http.Request) error { return fmt.Errorf("access: %w", errUnmatched) }

type site struct{}

func newSite(string, Config, []string) (*site, error) { return &site{}, nil }

// Question is a request as access sees it, for who asks without sending one.
type Question struct {
	Resource *guard.Resource
	Subject  *guard.Subject
	Method   string
	Secure   bool
}

// Verdict is an answer with its reasons.
type Verdict struct {
	// Allowed says that the request goes up.
	Allowed bool
	// App says that the app decides.
	App bool
	// By names the rules and policies that decided; none for "no rule".
	By []string
	// Misses say what the nearest rules ask for beyond what the subject has.
	Misses []string
	// Errors are those of policies, each of which refuses.
	Errors []string
}

// Explain decides as Check does and says why.
func (r *Room) Explain(q Question) (Verdict, error) { return Verdict{}, errUnmatched }

// Who is one line of the table of who reaches what.
type Who struct {
	On, Who, By string
}

// Routes lists who reaches what on a site, and by which rule.
func (r *Room) Routes(site string) []Who { return nil }

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits.
func (c Config) Weakened() []string { return nil }

var (
	denied = &guard.Rule{
		ID: "access.denied", Severity: guard.Medium, Status: http.StatusForbidden,
		Title: "access denied",
		Fix:   "`hauberk policy explain` names the rule that decided, or those that nearly did",
		CWE:   862, ASVS: []string{"8.2.1", "8.2.2", "8.3.1"},
	}
	signIn = &guard.Rule{
		ID: "access.sign-in", Severity: guard.Info, Status: http.StatusUnauthorized,
		Title: "sign in first",
		Fix:   "sign in, or send a bearer token; `allow: everyone` on the path lets everybody in",
		CWE:   306, ASVS: []string{"8.2.1", "8.3.1"},
	}
	fresh = &guard.Rule{
		ID: "access.fresh", Severity: guard.Info, Status: http.StatusUnauthorized,
		Title: "confirm that it is you first",
		Fix:   "confirm at /.hauberk/confirm, or raise `fresh` of the rule",
		CWE:   306, ASVS: []string{"7.5.3", "8.2.4"},
	}
	broken = &guard.Rule{
		ID: "access.policy-error", Severity: guard.Critical, Status: http.StatusForbidden,
		Title: "access denied",
		Fix:   "repair the policy that the event names: it failed on this request, so the request was refused",
		CWE:   755, ASVS: []string{"16.5.3", "8.3.1"},
	}
)
