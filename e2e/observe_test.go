package e2e_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAnObservationLetsPassTellsAndEnds watches before it enforces: what would
// be refused passes and is told, what nothing may excuse is refused, and the
// end comes by itself, whatever restarts.
func TestAnObservationLetsPassTellsAndEnds(t *testing.T) {
	up := app(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "taken") })
	state := filepath.Join(t.TempDir(), "state")
	g := serveAt(t, freePort(t), state, up, "--observe", "6s")
	for _, text := range []string{"observes  until ", "are not enforced everywhere until ", "csrf.cross-origin"} {
		g.says(t, text, time.Second)
	}
	cross := func(d door) answer {
		return d.do(t, http.MethodPost, "/hook", "x=1", "Origin", "https://pay.example", "Sec-Fetch-Site", "cross-site")
	}
	d := g.door(2)
	cross(d).wants(t, http.StatusOK).contains(t, "taken")
	g.door(1).get(t, "/%2e%2e/%2e%2e/etc").wants(t, http.StatusBadRequest)

	var out string
	var err error
	if !eventually(3*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out, err = run(ctx, t.TempDir(), nil, binary(t), "log", "impact", "--state", state)
		return err == nil && strings.Contains(out, "- rule:")
	}) || !strings.Contains(out, "  - rule: csrf.cross-origin\n    on: \"POST /hook\"\n") || strings.Contains(out, "/etc") {
		t.Errorf("log impact: %v\n%s", err, out)
	}
	if !eventually(10*time.Second, func() bool { return cross(d).StatusCode == http.StatusForbidden }) {
		t.Error("the rule is still not enforced behind the end")
	}
	g.stop(t)
	g = serveAt(t, g.port, state, up, "--observe", "6s")
	g.says(t, "--observe ended on ", time.Second)
	cross(g.door(2)).wants(t, http.StatusForbidden)
}
