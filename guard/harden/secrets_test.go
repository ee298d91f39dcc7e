package harden_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"hauberk.dev"
	"hauberk.dev/guard"
)

// TestABrokenHeadLeavesNoSecretInTheLog sends heads that are broken beside a
// secret through the whole chain, and reads every line that was written.
func TestABrokenHeadLeavesNoSecretInTheLog(t *testing.T) {
	const secret = "hunter2"
	var mu sync.Mutex
	var events []guard.Event
	var lines bytes.Buffer
	config := hauberk.Unmodified("http://127.0.0.1:1")
	config.Logger = slog.New(slog.NewJSONHandler(locked{&mu, &lines}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config.Record = func(e guard.Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}
	chain, err := hauberk.New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := chain.Server(nil)
	t.Cleanup(func() { server.Close() })
	go server.Serve(l)
	const line, host = "GET / HTTP/1.1\r\n", "Host: app.test\r\n"
	heads := []string{
		line + host + "Cookie sid=" + secret + "\r\n\r\n",
		line + host + "Authorization : Bearer " + secret + "\r\n\r\n",
		line + host + secret + "\r\n\r\n",
		"GET /reset?token=" + secret + "\r\n" + host + "\r\n",
		"GET /reset?token=a " + secret + "\r\n" + host + "\r\n",
		"GET http://app.test?token=" + secret + " HTTP/1.1\r\n" + host + "\r\n",
		"GET ftp://me:" + secret + "@app.test/ HTTP/1.1\r\n" + host + "\r\n",
		line + "Host: me:" + secret + "@app.test\r\n\r\n",
		line + host + "Content-Length: 5, " + secret + "\r\n\r\n",
	}
	for _, head := range heads {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: "app.test", InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, head)
		answer, _ := io.ReadAll(c)
		c.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Errorf("%q: got %q, want 400", head, answer)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(events) < len(heads) || lines.Len() == 0 {
		t.Fatalf("got %d events and %d bytes of log, want one of %d heads each", len(events), lines.Len(), len(heads))
	}
	for _, e := range events {
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, secret) {
			t.Errorf("event: got %s, want no secret", text)
		}
	}
	for _, written := range strings.Split(lines.String(), "\n") {
		if strings.Contains(written, secret) {
			t.Errorf("log: got %s, want no secret", written)
		}
	}
}

// locked is a writer for many goroutines.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
