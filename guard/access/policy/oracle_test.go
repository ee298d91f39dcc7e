package policy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"hauberk.dev/guard/access/policy"
)

// world is a random set of policies and entities with requests.
type world struct {
	text     map[string]string
	set      *policy.Set
	entities cedar.EntityMap
	requests []cedar.Request
}

// maker makes worlds from a seed.
type maker struct{ *rand.Rand }

func (m maker) of(list ...string) string { return list[m.IntN(len(list))] }

// uid is an entity, now and then one that is not there.
func (m maker) uid(kinds ...string) string {
	return fmt.Sprintf("%s::\"%d\"", m.of(kinds...), m.IntN(4))
}

func (m maker) scope() string {
	principal := m.of("principal", "principal", "principal == "+m.uid("User"), "principal in "+m.uid("User", "Role", "Role"),
		"principal is User", "principal is Nobody", "principal is User in "+m.uid("Role"))
	resource := m.of("resource", "resource == "+m.uid("Route"), "resource in "+m.uid("Route", "Site"), "resource in "+m.uid("Site"),
		"resource is Route", "resource is Route in "+m.uid("Site", "Route"))
	action := m.of("action", "action", "action == "+m.act(), "action in "+m.act(), "action in ["+m.act()+", "+m.act()+"]", "action in []")
	return principal + ", " + action + ", " + resource
}

func (m maker) act() string {
	return "Action::\"" + m.of("GET", "POST", "DELETE", "read", "write") + "\""
}

// condition may fail: an attribute may be missing or of another type, a sum
// too large.
func (m maker) condition(depth int) string {
	if depth > 0 && m.IntN(2) == 0 {
		a, b := m.condition(depth-1), m.condition(depth-1)
		return m.of("("+a+" && "+b+")", "("+a+" || "+b+")", "!("+a+")", "(if "+a+" then "+b+" else "+m.condition(depth-1)+")")
	}
	return m.of("true", "false", "principal.level > 2", "principal has level && principal.level < 3", "principal == resource.owner",
		"resource has owner && resource.owner in "+m.uid("Role"), "context.fresh", "context has n && context.n + 9223372036854775800 > 0",
		"principal in "+m.uid("Role", "User"), "resource in "+m.uid("Site", "Route"), "action in "+m.act(), "principal is User",
		"principal.tags.contains(\"a\")", "principal.tags.containsAny([\"a\", \"b\"])", "context.ip.isInRange(ip(\"10.0.0.0/8\"))",
		"context has path && context.path has id && context.path.id == principal.id", "resource.name like \"a*\"",
		"ip(context.text).isLoopback()", "decimal(\"1.5\").lessThan(decimal(context.text))", "context.n == \"1\"", "principal[\"level\"] * 2 >= 4")
}

func (m maker) policy() string {
	text := m.of("permit", "permit", "permit", "forbid") + " (" + m.scope() + ")"
	for range m.IntN(3) {
		text += m.of("\nwhen", "\nunless") + " { " + m.condition(2) + " }"
	}
	return text + ";"
}

// some returns each value once in two times.
func some[T any](m maker, all map[cedar.String]T) cedar.RecordMap {
	out := cedar.RecordMap{}
	for _, key := range slices.Sorted(keysOf(all)) {
		if m.IntN(2) == 0 {
			out[key] = any(all[key]).(cedar.Value)
		}
	}
	return out
}

func keysOf[T any](all map[cedar.String]T) func(func(cedar.String) bool) {
	return func(yield func(cedar.String) bool) {
		for key := range all {
			if !yield(key) {
				return
			}
		}
	}
}

func (m maker) parents(kind string, below int) []cedar.EntityUID {
	var all []cedar.EntityUID
	for i := range below {
		if m.IntN(3) == 0 {
			all = append(all, id(kind, i))
		}
	}
	return all
}

func id(kind string, n int) cedar.EntityUID {
	return cedar.NewEntityUID(cedar.EntityType(kind), cedar.String(fmt.Sprint(n)))
}

func (m maker) entities() cedar.EntityMap {
	all := cedar.EntityMap{}
	add := func(uid cedar.EntityUID, attributes cedar.RecordMap, parents ...cedar.EntityUID) {
		all[uid] = cedar.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(parents...), Attributes: cedar.NewRecord(attributes)}
	}
	for i := range 4 {
		if m.IntN(4) > 0 {
			add(id("Role", i), nil, m.parents("Role", i)...)
		}
		if m.IntN(4) > 0 {
			add(id("Route", i), some(m, map[cedar.String]cedar.Value{
				"owner": id("User", m.IntN(4)), "name": cedar.String(m.of("a", "ab", "b", "a*")),
			}), append(m.parents("Route", i), m.parents("Site", 3)...)...)
		}
		if m.IntN(4) > 0 {
			add(id("User", i), some(m, map[cedar.String]cedar.Value{
				"level": cedar.Long(m.IntN(5)), "id": cedar.String(fmt.Sprint(m.IntN(4))),
				"tags": cedar.NewSet(cedar.String(m.of("a", "c")), cedar.String("d")),
			}), append(m.parents("Role", 4), m.parents("User", i)...)...)
		}
	}
	for method, group := range map[string]string{"GET": "read", "POST": "write", "DELETE": "write"} {
		act := func(s string) cedar.EntityUID { return cedar.NewEntityUID("Action", cedar.String(s)) }
		add(act(method), nil, act(group))
	}
	return all
}

func (m maker) request() cedar.Request {
	ip, _ := cedarIP(m.of("10.1.2.3", "192.0.2.1", "::1"))
	r := cedar.Request{
		Principal: id(m.of("User", "User", "User", "Nobody"), m.IntN(5)),
		Action:    cedar.NewEntityUID("Action", cedar.String(m.of("GET", "POST", "DELETE", "PATCH"))),
		Resource:  id("Route", m.IntN(5)),
		Context: cedar.NewRecord(some(m, map[cedar.String]cedar.Value{
			"fresh": cedar.Boolean(m.IntN(2) == 0), "n": cedar.Long(m.IntN(10)), "ip": ip, "text": cedar.String(m.of("1.5", "::1", "x")),
			"path": cedar.NewRecord(cedar.RecordMap{"id": cedar.String(fmt.Sprint(m.IntN(4)))}),
		})),
	}
	return r
}

func newWorld(t testing.TB, seed uint64, policies, requests int) *world {
	t.Helper()
	m := maker{rand.New(rand.NewPCG(seed, 5))}
	w := &world{text: map[string]string{}, entities: m.entities()}
	var all []*policy.Policy
	for i := range policies {
		name, text := fmt.Sprintf("p%d", i), m.policy()
		parsed, err := policy.Parse("p", []byte(text))
		if err != nil {
			t.Fatalf("seed %d: %v in\n%s", seed, err, text)
		}
		parsed[0].Name, w.text[name] = name, text
		all = append(all, parsed[0])
	}
	var err error
	if w.set, err = policy.NewSet(all); err != nil {
		t.Fatal(err)
	}
	for range requests {
		w.requests = append(w.requests, m.request())
	}
	return w
}

func (w *world) decide(r cedar.Request) policy.Outcome {
	return w.set.Decide(&policy.Query{
		Target: w.set.Target(r.Resource, w.entities), Principals: policy.Above(r.Principal, w.entities),
		Action: r.Action, Actions: policy.Above(r.Action, w.entities), Entities: w.entities,
		Context: func(policy.Fields) cedar.Record { return r.Context },
	})
}

type verdict struct {
	Decision   string
	By, Failed []string
}

func (w *world) question(t testing.TB) []byte {
	t.Helper()
	type entity = cedar.EntityUID
	type request struct {
		Principal any `json:"principal"`
		Action    any `json:"action"`
		Resource  any `json:"resource"`
		Context   any `json:"context"`
	}
	named := func(e entity) any { return map[string]any{"type": e.Type, "id": e.ID} }
	var requests []request
	for _, r := range w.requests {
		requests = append(requests, request{named(r.Principal), named(r.Action), named(r.Resource), r.Context})
	}
	text, err := json.Marshal(map[string]any{"policies": w.text, "entities": w.entities, "requests": requests})
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// TestDecisionsAgreeWithTheOfficialCedar compares with an implementation that
// we did not write, over 50,000 pairs of random policy sets and requests. It
// must find the same policies failing and, where none does, decide alike by
// the same policies; where one does, we refuse.
func TestDecisionsAgreeWithTheOfficialCedar(t *testing.T) {
	sets, each := 2500, 20
	if testing.Short() {
		sets = 100
	}
	if out, err := exec.Command("sh", "../../../tools/npm.sh", "testdata/oracle").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var in bytes.Buffer
	worlds := make([]*world, sets)
	for i := range worlds {
		worlds[i] = newWorld(t, uint64(i), 1+i%12, each)
		in.Write(worlds[i].question(t))
	}
	cmd := exec.CommandContext(t.Context(), "node", "decide.mjs")
	cmd.Dir, cmd.Stdin = "testdata/oracle", &in
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, said.String())
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	pairs, allowed, failed := 0, 0, 0
	for i, w := range worlds {
		if !lines.Scan() {
			t.Fatalf("got %d answers, want %d", i, sets)
		}
		var want []verdict
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		for j, r := range w.requests {
			got, o := w.decide(r), want[j]
			pairs++
			if len(o.Failed) > 0 {
				failed++
			}
			if got.Allowed {
				allowed++
			}
			if got.Allowed != (o.Decision == "allow" && len(o.Failed) == 0) ||
				!slices.Equal(namesOf(got.By), o.By) || !slices.Equal(failures(got), o.Failed) {
				t.Fatalf("seed %d, request %d: got %t by %v, failed %v; want %+v\n%s", i, j, got.Allowed, namesOf(got.By), got.Failed, o, w.question(t))
			}
		}
	}
	t.Logf("%d pairs agree: %d allowed, %d with a policy that failed", pairs, allowed, failed)
	if allowed < pairs/50 || failed < pairs/50 {
		t.Errorf("got %d allowed and %d failed of %d, want enough of each to mean something", allowed, failed, pairs)
	}
}

func namesOf(all []*policy.Policy) []string {
	names := []string{}
	for _, p := range all {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

func failures(o policy.Outcome) []string {
	names := []string{}
	for _, f := range o.Failed {
		names = append(names, f.Policy.Name)
	}
	slices.Sort(names)
	return names
}

func cedarIP(s string) (cedar.Value, error) {
	return types.ParseIPAddr(s)
}
