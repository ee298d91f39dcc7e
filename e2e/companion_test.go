package e2e_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

var companionReady once

// needCompanion installs what the tests of npm/express need: Express 4 and 5,
// jose, TypeScript. The package itself needs nothing.
func needCompanion(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(root, "npm", "express")
	companionReady.do(t, func() error { return npm(dir) })
	return dir
}

// TestCompanion runs the companion's own tests: it is packed, installed from
// its tarball into an empty project, and attacked beside Express 4 and 5.
func TestCompanion(t *testing.T) {
	needExpress(t) // the example is one of its tests
	dir := needCompanion(t)
	tests, err := filepath.Glob(filepath.Join(dir, "test", "*.test.js"))
	if err != nil || len(tests) == 0 {
		t.Fatalf("got %d files of tests in %s (%v), want them all", len(tests), dir, err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := run(ctx, dir, nil, node, append([]string{"--test", "--test-timeout=120000", "--test-reporter=tap"}, tests...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(out, 80))
	}
	if !regexp.MustCompile(`(?m)^# pass [1-9]`).MatchString(out) || !regexp.MustCompile(`(?m)^# skipped 0$`).MatchString(out) {
		t.Errorf("got no line of passed tests, or some that were skipped, want none of it:\n%s", tail(out, 20))
	}
}
