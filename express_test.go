package hauberk_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// oracle is a running testdata/express.mjs.
type oracle struct {
	in   io.Writer
	out  *bufio.Reader
	addr string
	conn net.Conn
	br   *bufio.Reader
}

func startExpress(t *testing.T) *oracle {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the matcher is not held against Express on this machine")
	}
	modules, _ := filepath.Abs("examples/express/node_modules/express/package.json")
	if _, err := os.Stat(modules); err != nil {
		t.Skip("examples/express has no node_modules (npm ci): the matcher is not held against Express on this machine")
	}
	cmd := exec.Command(node, "testdata/express.mjs", modules)
	cmd.Stderr = os.Stderr
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
	o := &oracle{in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		in.Close()
		if o.conn != nil {
			o.conn.Close()
		}
		cmd.Wait()
	})
	port, err := o.out.ReadString('\n')
	if err != nil {
		t.Fatalf("node said nothing: %v", err)
	}
	o.addr = "127.0.0.1:" + strings.TrimSpace(port)
	return o
}

// build makes an application of patterns, in their order.
func (o *oracle) build(t *testing.T, patterns []string) {
	t.Helper()
	var list [][2]string
	for _, p := range patterns {
		list = append(list, inExpress(p))
	}
	line, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(o.in, "%s\n", line)
	if said, err := o.out.ReadString('\n'); err != nil || said != "ready\n" {
		t.Fatalf("%s: got %q, %v", line, said, err)
	}
}

// inExpress writes a pattern of ServeMux as a developer writes it in Express.
func inExpress(pattern string) [2]string {
	kind := "all"
	if sub, ok := strings.CutSuffix(pattern, "/"); ok {
		kind, pattern = "use", sub
		if pattern == "" {
			pattern = "/"
		}
	}
	pattern = strings.TrimSuffix(pattern, "{$}")
	var b strings.Builder
	for i, s := range strings.Split(pattern, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		switch name, wild := strings.CutPrefix(s, "{"); {
		case wild && strings.HasSuffix(name, "...}"):
			b.WriteString("*" + strings.TrimSuffix(name, "...}"))
		case wild:
			b.WriteString(":" + strings.TrimSuffix(name, "}"))
		default:
			for _, c := range []byte(s) {
				if strings.IndexByte(`(){}[]+?!*:\`, c) >= 0 {
					b.WriteByte('\\')
				}
				b.WriteByte(c)
			}
		}
	}
	return [2]string{kind, b.String()}
}

// ask returns the position of the pattern that took a request, -1 for none.
func (o *oracle) ask(t *testing.T, method, target string) int {
	t.Helper()
	if o.conn == nil {
		c, err := net.Dial("tcp", o.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Minute))
		o.conn, o.br = c, bufio.NewReader(c)
	}
	fmt.Fprintf(o.conn, "%s %s HTTP/1.1\r\nHost: app.test\r\n\r\n", method, target)
	res, err := http.ReadResponse(o.br, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	n := -1
	if res.StatusCode == 200 {
		fmt.Sscan(string(body), &n)
	}
	if res.Close {
		o.conn.Close()
		o.conn = nil
	}
	return n
}

var (
	literals  = []string{"admin", "Admin", "users", "a", "b", "api", "v1", "x.y", "caf%C3%A9", "a%20b", "a%2Fb", "100%25", "p;q", ";p", "~u", "it's", "a+b", "a:b", "a*b", "(x)", "a,b", "a=b", "a@b", "a!", "$x", "a&b"}
	fillings  = []string{"7", "Alice", "a", "ADMIN", "a%2Fb", "%2e.", "x%20y", "%25", ";x", "x;y", ";", "%3B", "%3Fq", "caf%C3%A9", "a|b", `a"b`, "{x}", "^", "...", ".a", "~", "-", "%00x", "..", "%5C"}
	additions = []string{"", "/", "//", ";x", ";", "/;", "/;x", "?", "?a=1;b=2", "/x", "/x/y", "%2F", "%2Fx", ".", "%20", ".json", "%3Bx"}
)

// pattern makes one that Express and ServeMux both can say.
func somePattern(rng *rand.Rand) string {
	var b strings.Builder
	for i := range 1 + rng.IntN(3) {
		if rng.IntN(3) == 0 {
			fmt.Fprintf(&b, "/{w%d}", i)
		} else {
			b.WriteString("/" + literals[rng.IntN(len(literals))])
		}
	}
	switch rng.IntN(6) {
	case 0:
		b.WriteString("/{rest...}")
	case 1, 2:
		b.WriteString("/")
	case 3:
		b.WriteString("/{$}")
	}
	return b.String()
}

// someTarget makes one that is near to a pattern.
func someTarget(rng *rand.Rand, pattern string) string {
	var b strings.Builder
	for _, s := range strings.Split(strings.TrimPrefix(pattern, "/"), "/") {
		b.WriteString([]string{"/", "/", "/", "/", "/", "/", "//", "/;/"}[rng.IntN(8)])
		switch {
		case s == "{$}":
			s = ""
		case s == "{rest...}":
			s = strings.Repeat(fillings[rng.IntN(len(fillings))]+"/", rng.IntN(3)) + fillings[rng.IntN(len(fillings))]
		case strings.HasPrefix(s, "{"):
			s = fillings[rng.IntN(len(fillings))]
		case rng.IntN(12) == 0:
			s = fillings[rng.IntN(len(fillings))]
		default:
			s = disguise(rng, s)
		}
		b.WriteString(s)
	}
	if rng.IntN(2) == 0 {
		b.WriteString(additions[rng.IntN(len(additions))])
	}
	return b.String()
}

// disguise writes a literal in another way.
func disguise(rng *rand.Rand, s string) string {
	if s == "" {
		return s
	}
	switch i := rng.IntN(len(s)); rng.IntN(8) {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return strings.ToLower(s)
	case 2:
		if !strings.Contains(s, "%") {
			return s[:i] + fmt.Sprintf("%%%02x", s[i]) + s[i+1:]
		}
	case 3:
		return s + ";v=1"
	case 4:
		return s + additions[rng.IntN(len(additions))]
	}
	return s
}

// TestNoRequestThatExpressRoutesToAPatternPassesItsEntryBy asks Express and the
// chain the same, with one route and with several.
func TestNoRequestThatExpressRoutesToAPatternPassesItsEntryBy(t *testing.T) {
	o := startExpress(t)
	sets := 800
	if testing.Short() {
		sets = 150
	}
	rng := rand.New(rand.NewPCG(8, 15))
	var asked, routed, refused, over int
	kinds := map[string]string{}
	for range sets {
		var patterns []string
		for range 1 + rng.IntN(4)*rng.IntN(2) {
			patterns = append(patterns, somePattern(rng))
		}
		patterns = narrowestFirst(patterns)
		m, err := newMatched("", patterns...)
		if err != nil {
			continue // a conflict, which does not start
		}
		o.build(t, patterns)
		for range 25 {
			target := someTarget(rng, patterns[rng.IntN(len(patterns))])
			on, _, status := m.ask("GET", target)
			asked++
			if status != 0 {
				refused++
				continue
			}
			n := o.ask(t, "GET", target)
			switch {
			case n >= 0 && patterns[n] == on:
				routed++
			case n < 0 && on == "":
			case n < 0: // we match what Express does not
				over++
				kinds["nothing in Express"] = fmt.Sprintf("%s: %q", target, on)
			case on != "" && narrower(on, patterns[n]):
				over++
				kinds["a broader route in Express"] = fmt.Sprintf("%s: %q, in Express %q", target, on, patterns[n])
			default:
				t.Errorf("%s: got route %q of %q, but Express takes it to %q", target, on, patterns, patterns[n])
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d requests: %d to the same route, %d refused, %d matched where Express reads more exactly, such as %q", asked, routed, refused, over, kinds)
	if routed < asked/5 {
		t.Errorf("only %d of %d requests met a route: nothing is shown", routed, asked)
	}
}

// rank orders patterns so that a narrower one comes before a broader one.
func rank(pattern string) string {
	var b strings.Builder
	for _, s := range strings.Split(pattern, "/")[1:] {
		switch {
		case s == "" || strings.HasSuffix(s, "...}"):
			b.WriteByte('z')
		case s == "{$}":
		case strings.HasPrefix(s, "{"):
			b.WriteByte('m')
		default:
			b.WriteByte('a')
		}
	}
	return b.String()
}

func narrowestFirst(patterns []string) []string {
	slices.SortStableFunc(patterns, func(a, b string) int { return strings.Compare(rank(a), rank(b)) })
	return slices.Compact(patterns)
}

// narrower says that a names at least what b names, segment by segment: where
// both match a path, a is the closer one.
func narrower(a, b string) bool {
	as, bs := named(a), named(b)
	if len(as) < len(bs) {
		return false
	}
	for i, s := range bs {
		if s != as[i] && !strings.HasPrefix(s, "{") {
			return false
		}
	}
	return true
}

// named returns the segments of a pattern but for an open end.
func named(pattern string) []string {
	segments := strings.Split(strings.ToLower(pattern), "/")[1:]
	if last := segments[len(segments)-1]; last == "" || last == "{$}" || strings.HasSuffix(last, "...}") {
		segments = segments[:len(segments)-1]
	}
	return segments
}
