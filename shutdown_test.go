package hauberk_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hauberk.dev"
)

// TestAShutdownServesWhatHasBegun stops a server in front of a request that
// takes long, one that comes late, and two handshakes.
func TestAShutdownServesWhatHasBegun(t *testing.T) {
	begun, end := make(chan bool, 1), make(chan bool)
	r := run(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/long" {
			begun <- true
			<-end
		}
		hello(w, q)
	})
	long := r.dial(t)
	io.WriteString(long, "GET /long HTTP/1.1\r\nHost: app.test\r\n\r\n")
	<-begun
	kept := r.dial(t)
	br := bufio.NewReader(kept)
	io.WriteString(kept, plain)
	if res, _ := answer(t, br); res.Close {
		t.Fatal("an answer before the stop closes its connection")
	}
	silent, half := r.tcp(t), r.dial(t) // before and after the handshake
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		stopped <- r.Shutdown(ctx)
	}()
	time.Sleep(100 * time.Millisecond)
	// On a connection that is kept, and on a new one.
	io.WriteString(kept, plain)
	if res, body := answer(t, br); !res.Close || body != "hello HTTP/1.1 /" {
		t.Errorf("got %s %q, closes %t, want an answer that closes", res.Status, body, res.Close)
	}
	late := r.dial(t)
	io.WriteString(late, plain)
	if res, _ := answer(t, bufio.NewReader(late)); !res.Close || res.StatusCode != 200 {
		t.Errorf("got %s, closes %t, want an answer that closes", res.Status, res.Close)
	}
	time.Sleep(1200 * time.Millisecond) // nobody listens any more
	if c, err := net.Dial("tcp", r.secure); err == nil {
		c.Close()
		t.Error("the listener is open after the drain time")
	}
	// A handshake that had begun before.
	shaken := r.handshake(t, silent)
	io.WriteString(shaken, plain)
	if res, body := answer(t, bufio.NewReader(shaken)); res.StatusCode != 200 || !res.Close {
		t.Errorf("a late handshake: got %s %q", res.Status, body)
	}
	// Who has asked nothing all the while is told so before it asks.
	if n, err := half.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection without a request: got %d bytes, %v, want its end", n, err)
	}
	select {
	case err := <-stopped:
		t.Fatalf("got the end, %v, before the long request had its answer", err)
	default:
	}
	close(end)
	if res, body := answer(t, bufio.NewReader(long)); res.StatusCode != 200 || body != "hello HTTP/1.1 /long" {
		t.Errorf("the long request: got %s %q", res.Status, body)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestAShutdownThatTakesTooLongSaysSo(t *testing.T) {
	begun, end := make(chan bool, 1), make(chan bool)
	r := run(t, func(http.ResponseWriter, *http.Request) { begun <- true; <-end })
	defer close(end)
	c := r.dial(t)
	io.WriteString(c, plain)
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 4*time.Second {
		t.Errorf("got %v after %v, want the deadline's error", err, time.Since(start))
	}
}

// TestAShutdownClosesTunnels holds that a WebSocket does not outlive it.
func TestAShutdownClosesTunnels(t *testing.T) {
	left := make(chan error, 1)
	r := run(t, func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		rw.Flush()
		_, err = io.Copy(io.Discard, rw)
		left <- err
	})
	c := r.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: app.test\r\nOrigin: https://app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if res, _ := answer(t, bufio.NewReader(c)); res.StatusCode != 101 || res.Header.Get("Connection") != "Upgrade" {
		t.Fatalf("got %s %v", res.Status, res.Header)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-left:
	case <-time.After(5 * time.Second):
		t.Error("the tunnel is open after the end")
	}
}

// TestAShutdownOfHTTP2AnswersWhatItTook has streams under way, and asks on.
func TestAShutdownOfHTTP2AnswersWhatItTook(t *testing.T) {
	end := make(chan bool)
	begun := make(chan bool, 8)
	r := run(t, func(w http.ResponseWriter, q *http.Request) {
		if strings.HasPrefix(q.URL.Path, "/long") {
			begun <- true
			<-end
		}
		hello(w, q)
	})
	client := r.client(t, true)
	answers := make(chan error, 4)
	for range 4 {
		go func() {
			res, err := client.Get("https://app.test/long")
			if err == nil {
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			answers <- err
		}()
		<-begun
	}
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		stopped <- r.Shutdown(ctx)
	}()
	time.Sleep(100 * time.Millisecond)
	for range 5 {
		res, err := client.Get("https://app.test/")
		if err != nil {
			t.Fatalf("while it drains: %v", err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	close(end)
	for range 4 {
		if err := <-answers; err != nil {
			t.Errorf("a stream under way: %v", err)
		}
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestListenAndServeOpensWhatTheConfigNames(t *testing.T) {
	busy := listen(t)
	defer busy.Close()
	free := listen(t)
	address := free.Addr().String()
	free.Close()
	for _, row := range []struct{ listen, http string }{{busy.Addr().String(), ""}, {address, busy.Addr().String()}} {
		c := hauberk.Unmodified("")
		c.Listen, c.HTTP = row.listen, row.http
		chain, err := hauberk.New(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := chain.Server(http.NotFoundHandler()).ListenAndServe(); err == nil || errors.Is(err, http.ErrServerClosed) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%v: got %v, want that the address is in use", row, err)
		}
	}
	l, err := net.Listen("tcp", address) // given back where the other was busy
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := hauberk.Unmodified("")
	c.Listen, c.HTTP = address, "127.0.0.1:0"
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := chain.Server(http.HandlerFunc(hello))
	ended := make(chan error, 1)
	go func() { ended <- s.ListenAndServe() }()
	r := &running{Server: s, secure: address}
	eventually(t, "nobody answers", func() bool {
		res, err := r.client(t, false).Get("https://app.test/")
		if err == nil {
			res.Body.Close()
		}
		return err == nil && res.StatusCode == 200
	})
	s.Close()
	if err := <-ended; err != http.ErrServerClosed {
		t.Errorf("got %v, want ErrServerClosed", err)
	}
}

// TestABackgroundThatFailsEndsTheServer gives the private listener an address
// that is taken.
func TestABackgroundThatFailsEndsTheServer(t *testing.T) {
	busy := listen(t)
	defer busy.Close()
	r := run(t, hello, func(c *hauberk.Config) { c.Monitor.Listen = busy.Addr().String() })
	select {
	case err := <-r.ended:
		if err == nil || errors.Is(err, http.ErrServerClosed) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("got %v, want why", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the server runs on without its private listener")
	}
}
