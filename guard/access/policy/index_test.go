package policy_test

import (
	"fmt"
	"testing"

	"github.com/cedar-policy/cedar-go"

	"hauberk.dev/guard/access/policy"
)

// TestOnlyWhatAPolicyReadsIsMade compares what is decided on a principal and a
// context of which only the named attributes exist with what they say.
func TestOnlyWhatAPolicyReadsIsMade(t *testing.T) {
	who := &policy.Somebody{ID: "u_1", Name: "alice", Email: "a@x.test", Tenant: "acme", Roles: []string{"r"}, Scopes: []string{"s"}, Methods: []string{"pwd"}}
	for _, when := range []string{
		`principal.id == "u_1" && principal.name == "alice" && principal.email == "a@x.test"`, `principal["tenant"] == "acme"`, `principal.issuer == ""`,
		`principal.roles.contains("r") && principal.scopes.contains("s") && principal.amr.contains("pwd") && !principal.token`,
		`principal has tenant`, `{a: principal}.a.tenant == "acme"`, `User::"u_1" has tenant && User::"u_1".tenant == "acme"`,
		`context.method == "GET" && !context.secure && context.authAge == 0 && context.path.id == "7"`,
		`context == {method: "GET", secure: false, authAge: 0, path: {id: "7"}}`, `{a: context}.a.path.id == "7"`,
		`(if true then context else context).path has id`, `context has authAge`, `!(context has client)`, `principal == User::"u_1"`,
		`principal in Role::"r"`, `resource in Site::"x.test"`, `action in Action::"read"`,
	} {
		list, err := policy.Parse("p", []byte("permit (principal, action, resource) when { "+when+" };"))
		if err != nil {
			t.Fatal(err)
		}
		set, err := policy.NewSet(list)
		if err != nil {
			t.Fatal(err)
		}
		world := policy.NewWorld("x.test")
		world.Route("/", nil)
		q := world.Node(set, "/", -1).Query(&policy.Ask{Who: who, Method: "GET", Path: map[string]string{"id": "7"}})
		if got := set.Decide(q); !got.Allowed {
			t.Errorf("%s: got %+v, want to be let in", when, got)
		}
		if got := set.Misses(q, 1); len(got) > 0 {
			t.Errorf("%s: got the miss %v of what holds", when, got[0].Needs)
		}
	}
}

// BenchmarkIndex compares the index with Cedar's own walk over all policies.
func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{10, 1000} {
		text := ""
		for i := range n {
			text += fmt.Sprintf("permit (principal in Role::\"r%d\", action, resource == Route::\"/%d\");\n", i, i)
		}
		list, err := policy.Parse("p", []byte(text))
		if err != nil {
			b.Fatal(err)
		}
		set, err := policy.NewSet(list)
		if err != nil {
			b.Fatal(err)
		}
		world := policy.NewWorld("x.test")
		world.Route("/1", nil)
		node := world.Node(set, "/1", -1)
		ask := &policy.Ask{Who: &policy.Somebody{ID: "u", Roles: []string{"a", "r1"}}, Method: "GET"}
		b.Run(fmt.Sprintf("index/policies=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !set.Decide(node.Query(ask)).Allowed {
					b.Fatal("got a refusal")
				}
			}
		})
		linear, err := cedar.NewPolicySetFromBytes("p", []byte(text))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("linear/policies=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q := node.Query(ask)
				if ok, _ := cedar.Authorize(linear, q.Entities, cedar.Request{Principal: q.Principals[0], Action: q.Action, Resource: cedar.NewEntityUID("Route", "/1")}); !ok {
					b.Fatal("got a refusal")
				}
			}
		})
	}
}
