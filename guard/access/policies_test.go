package access_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
)

func TestPoliciesHoldBesideTheRules(t *testing.T) {
	dir := policies(t, map[string]string{"orders.cedar": `
// Support reads every order, from the office alone.
@id("support reads orders")
permit (principal in Role::"support", action in Action::"read", resource in Route::"/orders/")
when { context has client && context.client.isInRange(ip("10.0.0.0/8")) };

@id("own orders")
permit (principal is User, action, resource == Route::"GET /orders/{user}")
when { context.path has user && context.path.user == principal.id };

@id("nobody writes over clear text")
forbid (principal, action in Action::"write", resource in Site::"shop.example.com")
unless { context.secure };
`})
	config := access.Config{Policies: dir, Rules: []access.Rule{{On: "/", Allow: []string{"signed-in"}}, {On: "/orders/", Allow: []string{"role:admin"}}}}
	support := alice(func(s *guard.Subject) { s.Roles = []string{"support"} })
	office, home := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		name, method string
		x            guard.Exchange
		status       int
	}{
		{"support at the office", "GET", guard.Exchange{Subject: support, Client: office, Resource: at("/orders/", 1)}, 200},
		{"support by HEAD, which is GET", "HEAD", guard.Exchange{Subject: support, Client: office, Resource: at("/orders/", 1)}, 200},
		{"support on a narrower route", "GET", guard.Exchange{Subject: support, Client: office, Resource: at("GET /orders/{user}", 1)}, 200},
		{"support at home", "GET", guard.Exchange{Subject: support, Client: home, Resource: at("/orders/", 1)}, 403},
		{"support that writes", "POST", guard.Exchange{Subject: support, Client: office, Secure: true, Resource: at("/orders/", 1)}, 403},
		{"a method that nobody knows writes", "PROPPATCH", guard.Exchange{Subject: support, Client: office, Secure: true, Resource: at("/orders/", 1)}, 403},
		{"one's own", "GET", guard.Exchange{Subject: alice(nil), Resource: at("GET /orders/{user}", 1, "user", "u_alice")}, 200},
		{"another's", "GET", guard.Exchange{Subject: alice(nil), Resource: at("GET /orders/{user}", 1, "user", "u_bob")}, 403},
		{"one's own, where the wildcard was not read", "GET", guard.Exchange{Subject: alice(nil), Resource: at("GET /orders/{user}", 1)}, 403},
		{"a rule that a forbid overrides", "POST", guard.Exchange{Subject: alice(nil), Resource: at("/", 0)}, 403},
		{"the same over TLS", "POST", guard.Exchange{Subject: alice(nil), Secure: true, Resource: at("/", 0)}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := serve(t, newRoom(t, config, "GET /orders/{user}"), c.x)
			if got := g.ask(t, c.method+" /"); got.StatusCode != c.status {
				t.Errorf("got %d %v, want %d", got.StatusCode, got.event, c.status)
			}
		})
	}
}

// TestAPolicyThatFailsRefuses is the case in which Cedar lets in: a forbid that
// cannot be evaluated is skipped. The sum is too large for a Long.
func TestAPolicyThatFailsRefuses(t *testing.T) {
	dir := policies(t, map[string]string{"a.cedar": `
permit (principal, action, resource);
@id("too much")
forbid (principal is User, action, resource)
when { context has authAge && context.authAge + 9223372036854775807 < 0 };
`})
	room := newRoom(t, access.Config{Policies: dir})
	late := alice(func(s *guard.Subject) { s.Since = time.Now().Add(-time.Minute) })
	got := serve(t, room, guard.Exchange{Resource: at("", -1), Subject: late}).ask(t, "GET /", page)
	if got.StatusCode != 403 || got.rule() != "access.policy-error" || !strings.Contains(got.event.Detail, "too much failed") {
		t.Errorf("got %d %+v, want a refusal and the policy's name", got.StatusCode, got.event)
	}
	if got := serve(t, room, guard.Exchange{Resource: at("", -1)}).ask(t, "GET /"); got.StatusCode != 200 {
		t.Errorf("nobody, for whom it does not fail: got %d, want 200", got.StatusCode)
	}
}

func TestAPolicyThatCannotHoldRefusesToStart(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no Cedar", "permit (principal", "access.policies: "},
		{"a condition that is no truth", "permit (principal, action, resource)\nwhen { 1 };", "policies/a.cedar:1: "},
		{"an attribute that nobody has", "\npermit (principal is User, action, resource)\nwhen { principal.rols.contains(\"x\") };", "policies/a.cedar:2: "},
		{"an attribute that some have", "permit (principal is User, action, resource) when { principal.tenant == \"a\" };", "policies/a.cedar:1: "},
		{"what nobody has, asked of anybody", "permit (principal, action, resource) when { principal.token };", "policies/a.cedar:1: "},
		{"a wildcard of no pattern", "permit (principal, action, resource) when { context.path has nix && context.path.nix == \"\" };", "policies/a.cedar:1: "},
		{"a method that nothing has", "permit (principal, action == Action::\"GETT\", resource);", "policies/a.cedar:1: "},
		{"a route that is not there", "forbid (principal, action, resource == Route::\"/admn/\");", `policies/a.cedar:1: Route::"/admn/" is not there`},
		{"a route in a condition", "forbid (principal, action, resource) when { resource in Route::\"/admn/\" };", `Route::"/admn/" is not there`},
		{"another site", "forbid (principal, action, resource in Site::\"other.test\");", `Site::"other.test" is not there`},
		{"a rule that is not there", "forbid (principal, action, resource in Rule::\"1\");", `Rule::"1" is not there`},
		{"a name that stands twice", "@id(\"x\") permit (principal, action, resource);\n@id(\"x\") forbid (principal, action, resource);", `policies/a.cedar:2: @id("x") stands at policies/a.cedar:1 already`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := access.New().Site(shop, access.Config{
				Policies: policies(t, map[string]string{"a.cedar": c.text}),
				Rules:    []access.Rule{{On: "/admin/", Allow: []string{"role:admin"}}},
			}, []string{"/users/{id}"})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "access.policies: ") {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestAFolderWithoutPoliciesRefusesToStart(t *testing.T) {
	link := policies(t, map[string]string{"readme.txt": ""})
	if err := os.Symlink("/etc/hostname", filepath.Join(link, "a.cedar")); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{
		"none": filepath.Join(t.TempDir(), "none"), "empty": policies(t, nil), "a link that leads out": link,
	} {
		if err := access.New().Site(shop, access.Config{Policies: dir}, nil); err == nil || !strings.HasPrefix(err.Error(), "access.policies: ") {
			t.Errorf("%s: got %v, want a mistake", name, err)
		}
	}
}

// TestASiteThatIsWrongLetsNobodyIn holds where the mistakes of New are ignored.
func TestASiteThatIsWrongLetsNobodyIn(t *testing.T) {
	room := access.New()
	if err := room.Site(shop, access.Config{Rules: []access.Rule{{On: "/", Allow: []string{"everyone"}}, {On: "/x"}}}, nil); err == nil {
		t.Fatal("got no mistake")
	}
	if got := serve(t, room, guard.Exchange{Resource: at("/", 0)}).ask(t, "GET /"); got.StatusCode == 200 {
		t.Errorf("got %d, want a refusal", got.StatusCode)
	}
}

func TestEveryMistakeOfTheRulesIsToldAtOnce(t *testing.T) {
	err := access.New().Site(shop, access.Config{
		Requestable: []string{"ed itor"},
		Rules: []access.Rule{
			{Allow: []string{"everyone"}},
			{On: "/a/"},
			{On: "/b/{id}", Allow: []string{"everybody", "role:", "role:a b", "token:x", "owner:user", "signed-in", "signed-in"}, Tenant: "org", Fresh: time.Millisecond},
			{On: "/c", Allow: []string{"everyone", "role:x"}},
			{On: "/d", Allow: []string{"everyone"}, Fresh: time.Minute},
		},
	}, nil)
	for _, want := range []string{
		"access.requestable[0]: ", "access.rules[0].on: missing", "access.rules[1].allow: missing",
		`access.rules[2].allow[0]: "everybody" is not known`, "access.rules[2].allow[1]: ", "access.rules[2].allow[2]: ", "access.rules[2].allow[3]: ",
		`access.rules[2].allow[4]: "/b/{id}" has no wildcard {user}`, "access.rules[2].allow[6]: \"signed-in\" stands here twice",
		"access.rules[2].tenant: ", "access.rules[2].fresh: ", "access.rules[3].allow[0]: everyone stands alone", "access.rules[4].allow[0]: everyone has neither",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, c := range []access.Config{
		{By: "app", Rules: []access.Rule{{On: "/", Allow: []string{"everyone"}}}}, {By: "app", Policies: "x"},
		{By: "app", Requestable: []string{"x"}}, {By: "nobody"},
	} {
		if err := access.New().Site(shop, c, nil); err == nil || !strings.HasPrefix(err.Error(), "access.by: ") {
			t.Errorf("%+v: got %v, want a mistake of access.by", c, err)
		}
	}
}

func TestAsksRoleSaysWhereSessionsAreStrict(t *testing.T) {
	dir := policies(t, map[string]string{"a.cedar": `
		permit (principal in Role::"auditor", action in Action::"read", resource == Route::"/reports");
		permit (principal in Role::"editor", action == Action::"DELETE", resource == Route::"/articles");
		permit (principal is User in Role::"editor", action == Action::"PUT", resource == Route::"/pictures");
		permit (principal, action, resource == Route::"/in") when { principal in Role::"admin" };
		permit (principal, action, resource == Route::"/among") when { principal in [Role::"admin", Role::"editor"] };
		permit (principal is User, action, resource == Route::"/reads") when { principal.roles.contains("admin") };
		permit (principal is User, action, resource == Route::"/has") when { principal["roles"].containsAny(["admin"]) };
		permit (principal is User, action, resource == Route::"/unless") when { true } unless { principal.token || !(principal in Role::"admin") };
		forbid (principal, action, resource == Route::"/but") unless { principal in Role::"admin" };
		permit (principal is User, action, resource == Route::"/scopes") when { principal.scopes.contains("roles") };
		forbid (principal in Role::"guest", action, resource == Route::"/guests");`})
	room := newRoom(t, access.Config{Policies: dir, Rules: []access.Rule{
		{On: "/", Allow: []string{"signed-in"}}, {On: "/admin/", Allow: []string{"token", "role:admin"}},
	}}, "/reports", "/articles", "/pictures", "/in", "/among", "/reads", "/has", "/unless", "/but", "/scopes", "/guests")
	also := func(res, second *guard.Resource) *guard.Resource {
		res.Also = second
		return res
	}
	for _, c := range []struct {
		res  *guard.Resource
		want bool
	}{
		{at("/", 0), false}, {at("/admin/", 1), true}, {at("/reports", 0), true}, {nil, true},
		{at("/articles", 0), true}, {at("/pictures", 0), true},
		{at("/in", 0), true}, {at("/among", 0), true}, {at("/reads", 0), true}, {at("/has", 0), true}, {at("/unless", 0), true}, {at("/but", 0), true},
		{at("/scopes", 0), false}, {at("/guests", 0), false},
		{also(at("/", 0), at("/admin/", 1)), true}, {also(at("/admin/", 1), at("/", 0)), true}, {also(at("/", 0), at("/", 0)), false},
	} {
		x := &guard.Exchange{Route: &guard.Route{Site: shop}, Resource: c.res}
		if got := room.AsksRole(x); got != c.want {
			t.Errorf("%+v: got %t, want %t", c.res, got, c.want)
		}
	}
}
