package wire_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// mutations is how many mutated streams are held against Node; -short runs a
// tenth of them.
const mutations = 20_000

// startNode runs testdata/reader.mjs and returns its address.
func startNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the check is not held against Node on this machine")
	}
	cmd := exec.Command(node, "testdata/reader.mjs")
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
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("node said nothing: %v", err)
	}
	return net.JoinHostPort("127.0.0.1", strings.TrimSpace(port))
}

// readByNode sends a stream and its end to Node and returns what it read, and
// whether it refused something.
func readByNode(addr string, stream []byte) (read []string, refused bool, err error) {
	c, err := net.Dial("tcp", addr)
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
			return read, refused, nil // Node ends, or cuts, what it refuses.
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
func (n *tally) compare(t *testing.T, addr, name string, stream []byte) {
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
		if w.closes {
			want = want[:i+1]
			break
		}
	}
	got, refused, err := readByNode(addr, r.bytes)
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
	case refused:
		n.refused.Add(1)
	default:
		t.Errorf("%s: Node answers %d of %d requests in %q", name, len(got), len(want), r.bytes)
	}
}

// nodeRefuses are the rows that the check releases and Node refuses. None of
// them is read differently: Node knows a fixed list of methods and refuses the
// rest, which the room does by its own list. Of the mutations that were looked
// at, each refused part had such a method.
var nodeRefuses = map[string]bool{
	"a method of 32 characters":                    true,
	"a method with an exclamation mark is a token": true,
}

func TestNodeReadsEachRowAsWeDo(t *testing.T) {
	addr := startNode(t)
	for _, row := range rows {
		var n tally
		n.compare(t, addr, row.name, []byte(row.raw))
		if got := n.refused.Load() > 0; got != nodeRefuses[row.name] {
			t.Errorf("%s: refused by Node: %v, want %v", row.name, got, nodeRefuses[row.name])
		}
	}
}

func TestNodeReadsMutationsAsWeDo(t *testing.T) {
	addr := startNode(t)
	seeds := corpus()
	count := mutations
	if testing.Short() {
		count /= 10
	}
	var n tally
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				r := rand.New(rand.NewPCG(1, uint64(i)))
				stream := mutate(r, []byte(seeds[i%len(seeds)]), seeds)
				n.compare(t, addr, fmt.Sprintf("mutation %d", i), stream)
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
