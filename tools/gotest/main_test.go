package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const stream = `{"Action":"start","Package":"a"}
{"Action":"output","Package":"a","Test":"TestFine","Output":"=== RUN   TestFine\n"}
{"Action":"output","Package":"a","Test":"TestFine","Output":"    a_test.go:3: quiet\n"}
{"Action":"pass","Package":"a","Test":"TestFine"}
{"Action":"output","Package":"a","Test":"TestLeft","Output":"=== RUN   TestLeft\n"}
{"Action":"output","Package":"a","Test":"TestLeft","Output":"    a_test.go:9: node is not installed\n"}
{"Action":"output","Package":"a","Test":"TestLeft","Output":"--- SKIP: TestLeft (0.00s)\n"}
{"Action":"skip","Package":"a","Test":"TestLeft"}
{"Action":"skip","Package":"a","Test":"TestDumb"}
{"Action":"skip","Package":"a","Test":"FuzzX/seed#1"}
{"Action":"output","Package":"a","Test":"TestBad","Output":"    a_test.go:12: got 1\n"}
{"Action":"fail","Package":"a","Test":"TestBad"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}
{"Action":"fail","Package":"a"}
not json
`

func TestSkipsAreListedWithTheirReasons(t *testing.T) {
	var out bytes.Buffer
	skips, err := relay(strings.NewReader(stream), &out, false)
	want := []string{"a TestLeft: a_test.go:9: node is not installed", "a TestDumb: no reason given"}
	if err != nil || !slices.Equal(skips, want) {
		t.Errorf("got %q %v, want %q", skips, err, want)
	}
	if got, want := out.String(), "    a_test.go:12: got 1\nFAIL\ta\t0.1s\nnot json\n"; got != want {
		t.Errorf("got %q, want what go test prints: %q", got, want)
	}
}

func TestVerboseShowsEverything(t *testing.T) {
	var out bytes.Buffer
	if _, err := relay(strings.NewReader(stream), &out, true); err != nil || !strings.Contains(out.String(), "quiet") {
		t.Errorf("got %q %v, want all of it", out.String(), err)
	}
}

func TestTheListIsAppendedToTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "skips")
	for _, s := range []string{"a: x", "b: y"} {
		if err := keep(file, []string{s}); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(file); string(got) != "a: x\nb: y\n" {
		t.Errorf("got %q, want both", got)
	}
}
