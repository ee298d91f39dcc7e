package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/https"
)

// TestAWalkThatIsBrokenOffDoesNotWaitForASilentSite connects to a port that
// takes connections and says nothing.
func TestAWalkThatIsBrokenOffDoesNotWaitForASilentSite(t *testing.T) {
	state := t.TempDir()
	if _, err := https.New(https.Config{}, https.Options{Hosts: []string{"localhost"}, Dir: state}); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, _, err := trusting(ctx, &url.URL{Scheme: "https", Host: silent.Addr().String()}, state)
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want it broken off", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for the site")
	}
}

// TestWhatChangedIsSaidInOneOrder compares locks that differ in every directive.
func TestWhatChangedIsSaidInOneOrder(t *testing.T) {
	some := map[string][]string{}
	for _, d := range []string{"script-src", "style-src", "img-src", "font-src", "connect-src", "media-src", "frame-src"} {
		some[d] = []string{"https://a.example"}
	}
	with, without := headers.Lock{Version: 1, Sources: some}, headers.Lock{Version: 1}
	for _, row := range []struct {
		before, now headers.Lock
		changed     int
		said        string
	}{{without, with, 7, "new source"}, {with, without, 0, "not seen:"}} {
		var out bytes.Buffer
		if n := compare(voiceOf(&out), row.before, row.now); n != row.changed {
			t.Errorf("got %d changes, want %d", n, row.changed)
		}
		got := regexp.MustCompile("[a-z]+-src").FindAllString(out.String(), -1)
		if len(got) != 7 || !slices.IsSorted(got) || !strings.Contains(out.String(), row.said) {
			t.Errorf("got %q, want seven directives in order", out.String())
		}
	}
}
