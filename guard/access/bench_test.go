package access_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
)

// many is a room with n rules, each of another path and role, and a request
// that the last of them lets in.
func many(t testing.TB, n int, one func(i int) access.Rule) (http.Handler, *http.Request) {
	t.Helper()
	var rules []access.Rule
	for i := range n {
		rules = append(rules, one(i))
	}
	room := newRoom(t, access.Config{Rules: rules})
	passed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	last := one(n - 1)
	x := &guard.Exchange{
		Route: &guard.Route{N: 1, Site: shop}, Secure: true, Resource: at(last.On, n-1, "id", "u_alice"),
		Subject: alice(func(s *guard.Subject) { s.Roles = []string{"editor", fmt.Sprintf("role-%d", n-1)} }),
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	return room.Check(passed), r.WithContext(guard.With(r.Context(), x))
}

func byRole(i int) access.Rule {
	return access.Rule{On: fmt.Sprintf("/app-%d/{id}", i), Allow: []string{fmt.Sprintf("role:role-%d", i)}}
}

func byOwner(i int) access.Rule {
	return access.Rule{On: fmt.Sprintf("/app-%d/{id}", i), Allow: []string{"owner:id"}}
}

func BenchmarkDecision(b *testing.B) {
	for _, kind := range []struct {
		name string
		one  func(int) access.Rule
	}{{"role", byRole}, {"owner", byOwner}} {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/rules=%d", kind.name, n), func(b *testing.B) {
				check, r := many(b, n, kind.one)
				w := httptest.NewRecorder()
				check.ServeHTTP(w, r)
				if w.Code != http.StatusNoContent {
					b.Fatalf("got %d, want to be let in", w.Code)
				}
				b.ReportAllocs()
				for b.Loop() {
					check.ServeHTTP(w, r)
				}
			})
		}
	}
}

// TestADecisionCostsTheSameWithAThousandRules holds a ratio of one run.
func TestADecisionCostsTheSameWithAThousandRules(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it measures")
	}
	cost := func(n int) float64 {
		check, r := many(t, n, byRole)
		w := httptest.NewRecorder()
		best := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				check.ServeHTTP(w, r)
			}
		}).NsPerOp()
		return float64(best)
	}
	for try := 0; ; try++ {
		few, lots := cost(10), cost(1000)
		t.Logf("10 rules %.0f ns, 1,000 rules %.0f ns: %.2f times", few, lots, lots/few)
		if lots <= 1.5*few {
			return
		}
		if try == 4 {
			t.Fatalf("got %.2f times the cost, want at most 1.5", lots/few)
		}
	}
}
