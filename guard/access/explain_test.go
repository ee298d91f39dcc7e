package access_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
)

// TestTheTableOfRoutesSaysWhatARequestWouldMeet holds the places in which a
// table could promise another thing than the decision: a method that no entry
// of the narrower path names is refused, whatever a wider path allows.
func TestTheTableOfRoutesSaysWhatARequestWouldMeet(t *testing.T) {
	dir := policies(t, map[string]string{"a.cedar": `@id("audit") permit (principal in Role::"auditor", action in Action::"read", resource in Route::"/admin/");`})
	room := newRoom(t, access.Config{Policies: dir, Rules: []access.Rule{
		{On: "/", Allow: []string{"everyone"}},
		{On: "POST /orders", Allow: []string{"role:buyer"}, Fresh: 5 * time.Minute},
		{On: "/admin/", Allow: []string{"role:admin", "token"}},
		{On: "/orgs/{org}/", Allow: []string{"role:editor"}, Tenant: "org"},
	}}, "GET /orders", "/orders", "/Admin/reports/{id}", "/shop/")
	var table []string
	for _, l := range room.Routes(shop) {
		table = append(table, fmt.Sprintf("%s: %s by %.15s", l.On, l.Who, l.By))
	}
	got := strings.Join(table, "\n")
	for _, want := range []string{
		"/: everyone by access.rules[0]", "/shop/: everyone by access.rules[0]",
		"POST /orders: role:buyer, signed in within 5m by access.rules[1]", "GET /orders: nobody by no rule", "/orders: nobody by no rule",
		"/admin/: role:admin by access.rules[2]", "/admin/: token by access.rules[2]", "/admin/: role:auditor by audit",
		"/Admin/reports/{id}: role:auditor by audit", "/Admin/reports/{id}: token by access.rules[2]",
		"/orgs/{org}/: role:editor of tenant {org} by access.rules[3]", "\n: nobody by no rule",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %s", got, want)
		}
	}
}

func TestExplainNamesWhatDecidedOrCameNearest(t *testing.T) {
	room := newRoom(t, access.Config{
		Requestable: []string{"editor"},
		Rules:       []access.Rule{{On: "/orgs/{org}/", Allow: []string{"role:editor", "owner:org"}, Tenant: "org", Fresh: 5 * time.Minute}},
	})
	ask := func(who *guard.Subject) access.Verdict {
		v, err := room.Explain(access.Question{Site: shop, Resource: at("/orgs/{org}/", 0, "org", "acme"), Method: "GET", Subject: who})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	editor := func(s *guard.Subject) { s.Roles, s.Tenant = []string{"editor"}, "acme" }
	for _, c := range []struct {
		name, help, nearest, by string
		who                     *guard.Subject
	}{
		{"an editor", "", "", "access.rules[0] (/orgs/{org}/: role:editor)", alice(editor)},
		{"nobody", "sign in", "access.rules[0] (/orgs/{org}/: role:editor) needs role editor", "", nil},
		{"one of the tenant", "editor", "access.rules[0] (/orgs/{org}/: owner:org) needs to be the {org} of the path", "",
			alice(func(s *guard.Subject) { s.Tenant = "acme" })},
		{"an editor of long ago", "confirm", "access.rules[0] (/orgs/{org}/: role:editor) needs a sign-in of the last 5m", "",
			alice(func(s *guard.Subject) { editor(s); s.Since = time.Now().Add(-time.Hour) })},
	} {
		v := ask(c.who)
		if v.Allowed != (c.by != "") || v.Help != c.help || !strings.HasPrefix(strings.Join(v.Needs, "\n"), c.nearest) || strings.Join(v.By, ",") != c.by || v.Rule != "access.rules[0]" {
			t.Errorf("%s: got %+v", c.name, v)
		}
	}
}
