package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// hauberkBinary is the test itself under the name by which it is the command.
func hauberkBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "hauberk")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// attackers send requests that are refused, each for a reason of its own.
func attackers(ctx context.Context, address string, n int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() {
			client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			defer client.CloseIdleConnections()
			for i := 0; ctx.Err() == nil; i++ {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/", nil)
				if err != nil {
					return
				}
				r.Host = fmt.Sprintf("evil-%d-%d.example", w, i)
				if res, err := client.Do(r); err == nil {
					res.Body.Close()
				}
			}
		})
	}
	return &wg
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestAKillUnderLoadLosesNoAcknowledgedEvent kills serve at any moment. What
// another process saw in the journal before was committed, so it must be there
// after, and the whole must verify. A backup under load must verify as well.
func TestAKillUnderLoadLosesNoAcknowledgedEvent(t *testing.T) {
	rounds := 10
	if os.Getenv("HAUBERK_SOAK") != "" {
		rounds = 200
	} else if testing.Short() {
		rounds = 2
	}
	t.Logf("%d kills; HAUBERK_SOAK=1 makes it 200", rounds)
	binary, dir := hauberkBinary(t), t.TempDir()
	state := filepath.Join(dir, "state")
	seen, grown := uint64(0), 0
	for round := range rounds {
		address := freeAddress(t)
		serve := exec.Command(binary, "serve", "--to", "127.0.0.1:1", "--listen", address, "--state", state)
		if err := serve.Start(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		load := attackers(ctx, address, 4)
		before := seen
		seen = watch(t, state, time.Duration(100+rand.IntN(400))*time.Millisecond, before+1)
		if round%10 == 5 {
			backupAndRestore(t, binary, state, filepath.Join(dir, fmt.Sprint(round)))
		}
		serve.Process.Kill()
		serve.Wait()
		cancel()
		load.Wait()
		if seen > before {
			grown++
		}
		out, err := exec.Command(binary, "log", "verify", "--state", state).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("last acknowledged event: row ")) {
			t.Fatalf("round %d: %v\n%s", round, err, out)
		}
		db, err := readStore(state)
		if err != nil {
			t.Fatal(err)
		}
		h, err := db.Head(t.Context())
		db.Close()
		if err != nil || h.Last < seen {
			t.Fatalf("round %d: got %+v, %v, want at least row %d, which was committed", round, h, err, seen)
		}
	}
	if grown < rounds*9/10 {
		t.Errorf("the journal grew in %d of %d rounds: too few to prove anything", grown, rounds)
	}
	t.Logf("%d rows after %d kills", seen, rounds)
}

// watch polls the journal until it has grown to want, and for some time longer,
// and returns the last row that it saw.
func watch(t *testing.T, state string, d time.Duration, want uint64) uint64 {
	t.Helper()
	seen := want - 1
	end := time.Now().Add(15 * time.Second)
	for grown := false; time.Now().Before(end); {
		time.Sleep(3 * time.Millisecond)
		db, err := readStore(state)
		if err != nil {
			continue // not made yet
		}
		if h, err := db.Head(t.Context()); err == nil {
			seen = max(seen, h.Last)
		}
		db.Close()
		if !grown && seen >= want {
			grown, end = true, time.Now().Add(d)
		}
	}
	return seen
}

func backupAndRestore(t *testing.T, binary, state, dir string) {
	t.Helper()
	file := dir + ".tar"
	for _, args := range [][]string{
		{"backup", file, "--state", state}, {"restore", file, "--state", dir}, {"log", "verify", "--state", dir},
	} {
		out, err := exec.Command(binary, args...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "warning") {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
}
