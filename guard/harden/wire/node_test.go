package wire_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mutations is how many mutated streams are held against Node; -short runs a
// tenth of them, HAUBERK_SOAK=N n times as many.
const mutations = 20_000

// streams says how many to run.
func streams(t *testing.T) int {
	t.Helper()
	n := 1
	if text, given := os.LookupEnv("HAUBERK_SOAK"); given {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("HAUBERK_SOAK is %q, want a number from 1 on", text)
		}
		t.Logf("HAUBERK_SOAK=%d: %d times as many streams", n, n)
	}
	if testing.Short() {
		return n * mutations / 10
	}
	return n * mutations
}

// node is a running testdata/reader.mjs.
type node struct {
	addr    string
	methods []string
}

func startNode(t *testing.T) node {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the check is not held against Node on this machine")
	}
	cmd := exec.Command(path, "testdata/reader.mjs")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("node said nothing: %v", err)
	}
	said := strings.Fields(line)
	return node{net.JoinHostPort("127.0.0.1", said[0]), said[1:]}
}

// read sends a stream and its end to Node and returns what it read, and
// whether it refused something.
func (n node) read(stream []byte) (read []string, refused bool, err error) {
	c, err := net.Dial("tcp", n.addr)
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, false, err
	}
	if _, err := c.Write(stream); err != nil {
		return nil, false, err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return nil, false, err
	}
	for br := bufio.NewReader(c); ; {
		if _, err := br.Peek(1); err != nil {
			return read, refused, nil
		}
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			return read, refused, err
		}
		io.Copy(io.Discard, res.Body)
		switch {
		case res.StatusCode == http.StatusOK:
			read = append(read, res.Header.Get("Read"))
		case res.StatusCode >= 400:
			refused = true
		}
	}
}

// tally counts how the two readers stand to each other.
type tally struct{ released, same, refused atomic.Int64 }

// compare sends to Node what the check releases of a stream, byte for byte.
// Node may refuse what we release; it must never read it differently.
func (n *tally) compare(t *testing.T, by node, name string, stream []byte) {
	r := release(stream)
	want, complaint := naive(r.bytes)
	if complaint != "" {
		t.Errorf("%s: released %s", name, complaint)
		return
	}
	if len(want) == 0 {
		return
	}
	n.released.Add(1)
	for i, w := range want {
		if w.closes { // net/http reads nothing behind it.
			want, r.bytes = want[:i+1], r.bytes[:w.end]
			break
		}
	}
	got, refused, err := by.read(r.bytes)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	for i, g := range got {
		if i >= len(want) || g != want[i].String() {
			t.Errorf("%s: Node reads request %d of %q as\n%s", name, i, r.bytes, g)
			return
		}
	}
	switch {
	case len(got) == len(want):
		n.same.Add(1)
	case refused && by.mayRefuse(want[len(got):], len(r.bytes)):
		n.refused.Add(1)
	default:
		t.Errorf("%s: Node answers %d of %d requests (refused: %v) in %q", name, len(got), len(want), refused, r.bytes)
	}
}

// mayRefuse says why Node may refuse what is left of a stream: a method that
// it does not know, or a body that was cut off since the check refused it. It
// then drops what it had read before and not yet answered.
func (n node) mayRefuse(left []reading, size int) bool {
	for _, r := range left {
		if !slices.Contains(n.methods, r.method) {
			return true
		}
	}
	return left[len(left)-1].end < size
}

// nodeRefuses are the rows that the check releases and Node refuses. None of
// them is read differently: Node knows a fixed list of methods and refuses the
// rest, which the room does by its own list.
var nodeRefuses = map[string]bool{
	"a method of 32 characters":                    true,
	"a method with an exclamation mark is a token": true,
}

func TestNodeReadsEachRowAsWeDo(t *testing.T) {
	by := startNode(t)
	for _, row := range rows {
		var n tally
		n.compare(t, by, row.name, []byte(row.raw))
		if got := n.refused.Load() > 0; got != nodeRefuses[row.name] {
			t.Errorf("%s: refused by Node: %v, want %v", row.name, got, nodeRefuses[row.name])
		}
	}
}

func TestNodeReadsMutationsAsWeDo(t *testing.T) {
	by := startNode(t)
	seeds := corpus()
	count := streams(t)
	var n tally
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				r := rand.New(rand.NewPCG(1, uint64(i)))
				stream := mutate(r, []byte(seeds[i%len(seeds)]), seeds)
				n.compare(t, by, fmt.Sprintf("mutation %d", i), stream)
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	wg.Wait()
	t.Logf("of %d streams something was released of %d: Node reads %d the same and refuses a part of %d",
		count, n.released.Load(), n.same.Load(), n.refused.Load())
	if n.same.Load() < int64(count)/10 {
		t.Errorf("only %d streams were compared: the mutations are too wild to tell", n.same.Load())
	}
}
