package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Where the tests find what they start.
var (
	root    = mustAbs("..")
	express = filepath.Join(root, "examples", "express")
)

func mustAbs(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		panic(err)
	}
	return abs
}

// output collects what a process says; tests read it while it grows.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// process is a program that a test started.
type process struct {
	*exec.Cmd
	name   string
	out    *output
	exited chan struct{}
	err    error
}

// launch starts a program and stops it when the test ends. What it said is
// shown when the test failed.
func launch(t testing.TB, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(name, args...), name: filepath.Base(name), out: &output{}, exited: make(chan struct{})}
	p.Dir = dir
	p.Env = append(os.Environ(), env...)
	p.Stdout, p.Stderr = p.out, p.out
	if err := p.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if i := strings.Index(p.out.String(), "WARNING: DATA RACE"); i >= 0 {
			t.Errorf("%s has a data race:\n%.4000s", p.name, p.out.String()[i:])
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, tail(p.out.String(), 20))
		}
	})
	return p
}

// stop asks the process to end and insists after fifteen seconds.
func (p *process) stop(t testing.TB) {
	t.Helper()
	select {
	case <-p.exited:
		return
	default:
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Logf("stop %s: %v", p.name, err)
	}
	select {
	case <-p.exited:
	case <-time.After(15 * time.Second):
		t.Errorf("%s did not end within 15 s of SIGTERM", p.name)
		if err := p.Process.Kill(); err != nil {
			t.Logf("kill %s: %v", p.name, err)
		}
		<-p.exited
	}
}

// ready waits until something accepts connections at addr, or fails the test
// when the process ended before.
func (p *process) ready(t testing.TB, addr string) {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		select {
		case <-p.exited:
			t.Fatalf("%s ended (%v) before it listened on %s", p.name, p.err, addr)
		default:
		}
		c, err := net.DialTimeout(network, addr, time.Second)
		if err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s does not listen on %s after 20 s", p.name, addr)
}

// says waits until the process has said text.
func (p *process) says(t testing.TB, text string, within time.Duration) {
	t.Helper()
	if !eventually(within, func() bool { return strings.Contains(p.out.String(), text) }) {
		t.Errorf("%s did not say %q within %v", p.name, text, within)
	}
}

// eventually asks until ok is true or the time is over.
func eventually(within time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(within)
	for {
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// freePort returns a loopback port that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// run runs a program to its end and returns what it said.
func run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

// tail returns the last n lines of text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = append([]string{fmt.Sprintf("(%d lines left out)", len(lines)-n)}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}
