package access_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/access"
)

func TestACaseSaysWhoAsksForWhat(t *testing.T) {
	cases, err := access.ParseCases("a.test", []byte("# who gets in\n\n  alice(role:admin, tenant:acme, scope:orders, id:u_1, issuer:https://id.test, age:10m) GET /a(b) -> allow\nnobody POST https://shop.test/x -> deny\nrole:editor PUT //x -> deny\n"))
	if err != nil || len(cases) != 3 {
		t.Fatalf("got %v, %v, want three cases", cases, err)
	}
	a, n, e := cases[0], cases[1], cases[2]
	s := a.Subject
	if s.ID != "u_1" || s.Name != "alice" || !slices.Equal(s.Roles, []string{"admin"}) || s.Tenant != "acme" || !slices.Equal(s.Scopes, []string{"orders"}) ||
		!s.Token || s.Issuer != "https://id.test" || time.Since(s.Since).Round(time.Minute) != 10*time.Minute {
		t.Errorf("got %+v", s)
	}
	if a.Method != "GET" || a.URL != "/a(b)" || !a.Allow || a.Line != 3 || a.File != "a.test" {
		t.Errorf("got %+v", a)
	}
	if n.Subject != nil || n.Allow || n.URL != "https://shop.test/x" {
		t.Errorf("got %+v", n)
	}
	if !e.Subject.Has("editor") || e.Subject.Token {
		t.Errorf("got %+v", e.Subject)
	}
}

func TestALineThatIsNoCaseIsToldWithItsPlace(t *testing.T) {
	for line, want := range map[string]string{
		"alice GET /":                                           "want \"WHO METHOD PATH",
		"alice GET / -> maybe":                                  `"maybe" is not known`,
		"alice GET -> allow":                                    "want \"WHO METHOD PATH",
		"alice(role:x GET / -> allow":                           "a bracket is not closed",
		"nobody(role:x) GET / -> allow":                         "nobody has nothing",
		"alice(rule:x) GET / -> allow":                          `"rule" is not known`,
		"alice(role:) GET / -> allow":                           `"role:" is not known`,
		"alice(age:5) GET / -> allow":                           "needs a unit",
		"alice get / -> allow":                                  `"get" is not a method`,
		"alice GET shop -> allow":                               `"shop" is neither a path nor a URL`,
		"alice GET /" + strings.Repeat("a", 9<<10) + " -> deny": "is longer than",
	} {
		_, err := access.ParseCases("a.test", []byte("\n"+line+"\n"))
		if err == nil || !strings.HasPrefix(err.Error(), "a.test:2: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want %s", line, err, want)
		}
	}
}

func FuzzCases(f *testing.F) {
	f.Add("alice(role:admin, tenant:acme) GET /admin/ -> allow")
	f.Add("nobody POST https://shop.example.com/x -> deny")
	f.Add("role:x GET / -> deny\n# x\n(")
	f.Fuzz(func(t *testing.T, src string) {
		cases, err := access.ParseCases("f", []byte(src))
		for _, c := range cases {
			if c.Line < 1 || c.Method == "" || c.URL == "" || c.Subject != nil && c.Subject.ID == "" {
				t.Errorf("%q: got %+v", src, c)
			}
		}
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%q: got %v without its place", src, err)
		}
	})
}

// FuzzAllow holds that a word either is a mistake or compiles to Cedar that
// lets nobody in but where it is "everyone".
func FuzzAllow(f *testing.F) {
	for _, w := range []string{"everyone", "signed-in", "token", "role:admin", "scope:a.b", "owner:id", "tenant:id", `role:"`, "role:a\\", "role:}", "everyone:"} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, word string) {
		room := access.New()
		if err := room.Site(shop, access.Config{Rules: []access.Rule{{On: "/{id}", Allow: []string{word}}}}, nil); err != nil {
			if !strings.HasPrefix(err.Error(), "access.rules[0].allow[0]: ") {
				t.Errorf("%q: got %v", word, err)
			}
			return
		}
		v, err := room.Explain(access.Question{Site: shop, Resource: at("/{id}", 0, "id", ""), Method: "GET"})
		if err != nil || v.Allowed != (word == "everyone") || len(v.Failed) > 0 {
			t.Errorf("%q: got %+v, %v", word, v, err)
		}
	})
}
