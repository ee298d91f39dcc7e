package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// floodConfig refuses some clients for what they ask, some for how often they
// ask and some for who they are. The journal is the smallest that there is, so
// that it has to be pruned while the flood lasts.
const floodConfig = `
ratelimit: {allow: [127.20.0.0/16], deny: [127.22.0.0/16]}
monitor: {size: 1MiB}
sites: [{to: %q, access: app, headers: compat}]
`

// maxOnDisk is what the store may take with a journal of 1 MiB, four times as
// much: SQLite's pages are not full, 1 MiB and a batch stand in the log beside
// the file until they are in it, and there are the refused fields that are kept.
const maxOnDisk = 4 << 20

// TestAFloodOfRefusalsDelaysNobody floods the built binary with requests that
// it refuses, at half the rate at which they saturate the machine in this run:
// others hardly notice, memory and journal do not grow, and each refusal is
// counted once, in the metrics, in the log and in the journal.
func TestAFloodOfRefusalsDelaysNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a flood takes twenty seconds")
	}
	turns := 5 * soak(t)
	g, logged := logging(t, fmt.Sprintf(floodConfig, app(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond) // What a small page of a real app takes.
		_, _ = io.WriteString(w, "ok")
	})))
	journal := follow(t, g)
	f, visit := gatherFlood(t, g), visitors(t, g)
	visit(time.Second) // Connections, caches and the collector warm up.

	w := &watched{g: g}
	var quiet, busy time.Duration
	// The machine does other things too; one whole run in three has to hold.
	for try := 0; try == 0 || try < 3 && busy >= 2*quiet; try++ {
		quiet, busy = w.flood(t, f, visit, turns)
	}
	if busy >= 2*quiet {
		t.Errorf("p99 rose from %v to %v, want under twice, in each of three runs", quiet, busy)
	}
	w.check(t)

	sent := f.refused()
	total := sum(sent)
	t.Logf("%d refusals: %v", total, sent)
	// What is folded waits for a second at most.
	eventually(10*time.Second, func() bool { return sum(journal()) >= total })
	if got := g.counted(t); !maps.Equal(got, sent) {
		t.Errorf("the metrics count %v, want %v", got, sent)
	}
	if got := journal(); !sameCounts(got, sent) {
		t.Errorf("the journal counts %v, want %v", got, sent)
	}
	g.stop(t)
	if got := logged(); !sameCounts(got, sent) {
		t.Errorf("the log counts %v, want %v", got, sent)
	}
	out, err := run(t.Context(), "", nil, binary(t), "log", "verify", "--state", g.state)
	m := regexp.MustCompile(`good: rows (\d+) to \d+`).FindStringSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("the journal after the flood: %v\n%s", err, out)
	}
	t.Log(m[0])
	if m[1] == "1" {
		t.Error("nothing was pruned: too little to tell how the journal holds its bound")
	}
}

// droppedRule is the rule of the rows that say how many events did not reach
// the journal.
const droppedRule = "monitor.dropped"

// sameCounts says whether got is want; what was dropped and counted may be
// missing from any rule, but not from the sum.
func sameCounts(got, want map[string]int) bool {
	if got[droppedRule] == 0 {
		return maps.Equal(got, want)
	}
	for rule, n := range got {
		if rule != droppedRule && n > want[rule] {
			return false
		}
	}
	return sum(got) == sum(want)
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// logging starts the built binary with its log in a file, as a service has it,
// so that reading it costs nothing meanwhile. The function counts the refusals
// in it, by rule.
func logging(t *testing.T, config string) (*gate, func() map[string]int) {
	t.Helper()
	dir := t.TempDir()
	file, events := filepath.Join(dir, "hauberk.yaml"), filepath.Join(dir, "log")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	port, state := freePort(t), filepath.Join(dir, "state")
	p := launch(t, dir, nil, "sh", "-c", `exec "$0" "$@" >log`, binary(t), "serve", "-c", file, "--listen", "127.0.0.1:"+port, "--state", state)
	g := &gate{process: p, port: port, state: state}
	p.ready(t, "127.0.0.1:"+port)
	g.roots = authority(t, state)
	return g, func() map[string]int {
		in, err := os.Open(events)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		counts := map[string]int{}
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if !bytes.Contains(lines.Bytes(), []byte(`"msg":"event"`)) {
				continue
			}
			var e struct {
				Rule, Verdict string
				Folded        int
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			if e.Verdict == "denied" {
				counts[e.Rule] += max(e.Folded, 1)
			}
		}
		return counts
	}
}

// follow reads the journal while it is written, before its oldest rows go. The
// function counts the refusals seen so far, and what was dropped.
func follow(t *testing.T, g *gate) func() map[string]int {
	t.Helper()
	p := launch(t, t.TempDir(), nil, binary(t), "log", "tail", "-f", "-n", "1000", "--state", g.state)
	row := regexp.MustCompile(`(?m)^\S+ \S+ (\S+) (?:denied|noted)(?: ×(\d+))?(?:  .*)?$`)
	return func() map[string]int {
		counts := map[string]int{}
		for _, m := range row.FindAllStringSubmatch(p.out.String(), -1) {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				n = 1
			}
			counts[m[1]] += n
		}
		return counts
	}
}

// counted returns the refusals that the metrics count, by rule.
func (g *gate) counted(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^hauberk_events_total\{rule="([^"]+)",verdict="denied"\} (\S+)$`).FindAllStringSubmatch(g.metrics(t), -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		counts[m[1]] = int(n)
	}
	return counts
}

// metrics asks the private listener.
func (g *gate) metrics(t *testing.T) string {
	t.Helper()
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(g.state, "monitor.sock"))
		}}}
	a, err := read(c.Get("http://localhost/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	return a.body
}

// watched is what the flood does to the process and to its disk.
type watched struct {
	g      *gate
	mu     sync.Mutex
	memory []int // kB that are the process's own, in the order of time
	disk   int64 // bytes, the most seen
	err    error
}

// flood measures the rate of saturation, and then the 99th percentile of
// ordinary requests without and with half of it, in turns of one second. Of the
// turns of either kind the lower quartile counts: what other programs do for
// some seconds is not Hauberk's, while folds, commits and collections come in
// each turn and prunes in each but the first. So a delay that comes in fewer
// than three turns of four is not seen here: the log has the figures of all.
func (w *watched) flood(t *testing.T, f *flood, visit func(time.Duration) []time.Duration, turns int) (quiet, busy time.Duration) {
	const lead = 250 * time.Millisecond
	f.run(500*time.Millisecond, 0)
	full := float64(f.run(2*time.Second, 0)) / 2
	var calm, flooded []time.Duration
	answered := 0
	for range turns {
		time.Sleep(lead)
		calm = append(calm, percentile(visit(time.Second), 99))
		done := make(chan struct{})
		var wait sync.WaitGroup
		wait.Go(func() { w.look(done) })
		wait.Go(func() {
			defer close(done)
			answered += f.run(2*lead+time.Second, full/2)
		})
		time.Sleep(lead)
		flooded = append(flooded, percentile(visit(time.Second), 99))
		wait.Wait()
		f.check(t)
	}
	rate := float64(answered) / float64(turns) / (2*lead + time.Second).Seconds()
	quiet, busy = percentile(calm, 25), percentile(flooded, 25)
	t.Logf("%.0f refusals a second saturate; p99 went from %v to %v at %.0f a second, the lower quartile of %d turns: %v and %v",
		full, quiet, busy, rate, turns, calm, flooded)
	if rate < .9*full/2 {
		t.Logf("the flood was slower than half of %.0f: this run does not count", full)
		return 1, 2
	}
	return quiet, busy
}

func percentile(all []time.Duration, p int) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)*p/100]
}

// look notes memory and disk until done.
func (w *watched) look(done chan struct{}) {
	for {
		kB, err := anonymous(w.g.Process.Pid)
		var disk int64
		for _, name := range []string{"hauberk.db", "hauberk.db-wal", "hauberk.db-shm"} {
			info, statErr := os.Stat(filepath.Join(w.g.state, name))
			if statErr == nil {
				disk += info.Size()
			}
			err = errors.Join(err, statErr)
		}
		w.mu.Lock()
		w.memory, w.disk, w.err = append(w.memory, kB), max(w.disk, disk), errors.Join(w.err, err)
		w.mu.Unlock()
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var anonymousLine = regexp.MustCompile(`(?m)^RssAnon:\s+(\d+) kB$`)

// anonymous returns how many kB of memory a process has that no file backs.
func anonymous(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	m := anonymousLine.FindSubmatch(text)
	if m == nil {
		return 0, errors.New("no RssAnon in /proc")
	}
	return strconv.Atoi(string(m[1]))
}

// check fails t where memory has grown from the first half of the flood to the
// second, or the disk has taken more than the journal may.
func (w *watched) check(t *testing.T) {
	t.Helper()
	if w.err != nil || len(w.memory) < 20 {
		t.Fatalf("%d looks at the process: %v", len(w.memory), w.err)
	}
	half := len(w.memory) / 2
	first, second := slices.Max(w.memory[:half]), slices.Max(w.memory[half:])
	t.Logf("memory: at most %d kB in the first half of the flood, %d kB in the second; disk: at most %d kB", first, second, w.disk>>10)
	if second > first*5/4+4<<10 {
		t.Errorf("memory rose from %d kB to %d kB", first, second)
	}
	if w.disk > maxOnDisk {
		t.Errorf("a journal of 1 MiB takes %d kB of disk, want at most %d", w.disk>>10, maxOnDisk>>10)
	}
}

// visitors returns a function that asks for a page 200 times a second, from
// twenty addresses, whatever becomes of the requests before, and returns what
// each took from the moment when it was due.
func visitors(t *testing.T, g *gate) func(time.Duration) []time.Duration {
	var clients []*http.Client
	for i := range 20 {
		c := g.client(1 + i%2)
		d := &net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 30, 0, byte(1+i))}}
		c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, "127.0.0.1:"+g.port)
		}
		clients = append(clients, c)
	}
	at := g.url("/")
	return func(how time.Duration) []time.Duration {
		t.Helper()
		const gap = 5 * time.Millisecond
		took := make([]time.Duration, int(how/gap))
		var wait sync.WaitGroup
		start := time.Now()
		for i := range took {
			due := start.Add(time.Duration(i) * gap)
			time.Sleep(time.Until(due))
			wait.Go(func() {
				a, err := read(clients[i%len(clients)].Get(at))
				if err != nil || a.StatusCode != http.StatusOK {
					t.Errorf("an ordinary request: %v %v", a.Response, err)
				}
				took[i] = time.Since(due)
			})
		}
		wait.Wait()
		return took
	}
}
