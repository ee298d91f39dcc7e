package hauberk_test

import (
	"fmt"
	"testing"

	"hauberk.dev"
)

// BenchmarkMatch looks a path up among 50 routes, without the rest of the
// chain.
func BenchmarkMatch(b *testing.B) {
	var on []string
	for i := range 10 {
		on = append(on, fmt.Sprintf("/area%d/", i), fmt.Sprintf("GET /area%d/items", i), fmt.Sprintf("POST /area%d/items", i),
			fmt.Sprintf("/area%d/items/{id}", i), fmt.Sprintf("/area%d/items/{id}/notes/{note}", i))
	}
	for name, path := range map[string]string{
		"literal": "/area7/items", "folded": "//Area7/items/", "wildcards": "/area7/items/42/notes/7", "prefix": "/area7/else/where", "none": "/nothing/here",
	} {
		b.Run(name, func(b *testing.B) {
			match, err := hauberk.Match(false, on...)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if n := match("GET", path); (n == 0) != (name == "none") {
					b.Fatalf("got route %d", n)
				}
			}
		})
	}
}
