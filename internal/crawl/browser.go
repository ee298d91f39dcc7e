package crawl

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// browser is a headless Chromium that is steered over a pair of pipes: no port
// is opened that another user of the machine could connect to.
type browser struct {
	cmd  *exec.Cmd
	dir  string
	out  io.WriteCloser
	gone chan struct{}

	mu      sync.Mutex
	last    int
	waiting map[int]chan message
	event   func(message) // of the page that is open
	lastNet atomic.Int64  // when something was last asked for
}

// message is one of the DevTools protocol.
type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
	Session string `json:"sessionId,omitempty"`
}

const (
	loadTime  = 15 * time.Second
	quietTime = 400 * time.Millisecond
	settle    = 3 * time.Second
	maxText   = 64 << 20
)

// launch starts a Chromium with a profile of its own.
func launch(ctx context.Context, path string, pins []string) (*browser, error) {
	dir, err := os.MkdirTemp("", "hauberk-csp-")
	if err != nil {
		return nil, err
	}
	toBrowser, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	in, fromBrowser, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	args := []string{"--headless=new", "--remote-debugging-pipe", "--user-data-dir=" + dir, "--no-first-run", "--no-default-browser-check",
		"--disable-gpu", "--disable-sync", "--disable-component-update", "--disable-background-networking", "--disable-quic", "--disable-dev-shm-usage"}
	if len(pins) > 0 {
		args = append(args, "--ignore-certificate-errors-spki-list="+strings.Join(pins, ","))
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium starts as root in no other way
	}
	cmd := exec.CommandContext(ctx, path, append(args, "about:blank")...)
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser}
	b := &browser{cmd: cmd, dir: dir, out: out, gone: make(chan struct{}), waiting: map[int]chan message{}}
	err = cmd.Start()
	toBrowser.Close()
	fromBrowser.Close()
	if err != nil {
		out.Close()
		in.Close()
		os.RemoveAll(dir)
		return nil, err
	}
	go b.read(in)
	start, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	if err := b.call(start, "", "Browser.getVersion", nil, nil); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// read hands out what the browser says until it is gone.
func (b *browser) read(in io.ReadCloser) {
	defer close(b.gone)
	defer in.Close()
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 64<<10), maxText)
	s.Split(func(data []byte, eof bool) (int, []byte, error) {
		for i, c := range data {
			if c == 0 {
				return i + 1, data[:i], nil
			}
		}
		return 0, nil, nil
	})
	for s.Scan() {
		var m message
		if json.Unmarshal(s.Bytes(), &m) != nil {
			continue
		}
		b.mu.Lock()
		reply, event := b.waiting[m.ID], b.event
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		switch {
		case reply != nil:
			reply <- m
		case m.Method != "" && event != nil:
			event(m)
		}
	}
}

var errGone = errors.New("the browser has ended")

// call asks for a method and waits for its result.
func (b *browser) call(ctx context.Context, session, method string, params, result any) error {
	m := message{Method: method, Session: session}
	if params != nil {
		text, err := json.Marshal(params)
		if err != nil {
			return err
		}
		m.Params = text
	}
	reply := make(chan message, 1)
	b.mu.Lock()
	b.last++
	m.ID = b.last
	b.waiting[m.ID] = reply
	text, err := json.Marshal(m)
	if err == nil {
		_, err = b.out.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case m = <-reply:
	case <-b.gone:
		return errGone
	case <-ctx.Done():
		return ctx.Err()
	}
	if m.Error != nil {
		return fmt.Errorf("%s: %s", method, m.Error.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(m.Result, result)
}

func (b *browser) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	b.call(ctx, "", "Browser.close", nil, nil)
	b.out.Close()
	select {
	case <-b.gone:
	case <-time.After(2 * time.Second):
		b.cmd.Process.Kill()
	}
	b.cmd.Wait()
	os.RemoveAll(b.dir)
}

// keep gives the browser cookies for the site at start, and for no other host.
func (b *browser) keep(ctx context.Context, start *url.URL, cookies []*http.Cookie) error {
	if len(cookies) == 0 {
		return nil
	}
	var list []map[string]any
	for _, c := range cookies {
		value := c.Value
		if c.Quoted {
			value = `"` + value + `"`
		}
		list = append(list, map[string]any{"name": c.Name, "value": value, "url": start.Scheme + "://" + start.Host, "path": "/",
			"secure": start.Scheme == "https", "httpOnly": true})
	}
	return b.call(ctx, "", "Storage.setCookies", map[string]any{"cookies": list}, nil)
}

// seen is what a page became when its scripts had run.
type seen struct {
	Scripts []string `json:"scripts"`
	Links   []string `json:"links"`
	loads   []load
}

type load struct{ directive, url string }

// directives say which one rules a kind of load.
var directives = map[string]string{
	"Script": "script-src", "Stylesheet": "style-src", "Image": "img-src", "Font": "font-src", "Media": "media-src",
	"XHR": "connect-src", "Fetch": "connect-src", "EventSource": "connect-src", "WebSocket": "connect-src", "Ping": "connect-src",
}

const collect = `JSON.stringify({
	scripts: [...document.querySelectorAll('script:not([src])')].filter(s => !s.type || /javascript|ecmascript|module|importmap|speculationrules/i.test(s.type)).map(s => s.textContent).filter(Boolean),
	links: [...document.querySelectorAll('a[href],area[href]')].map(a => String(a.href)),
})`

// look opens a page in a tab of its own and waits until it is quiet.
func (b *browser) look(ctx context.Context, address string) (*seen, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	var target struct {
		ID string `json:"targetId"`
	}
	if err := b.call(ctx, "", "Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return nil, err
	}
	defer b.call(ctx, "", "Target.closeTarget", map[string]any{"targetId": target.ID}, nil)
	var at struct {
		Session string `json:"sessionId"`
	}
	if err := b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &at); err != nil {
		return nil, err
	}
	s := &seen{}
	loaded := b.follow(at.Session, s)
	for _, method := range []string{"Page.enable", "Network.enable"} {
		if err := b.call(ctx, at.Session, method, nil, nil); err != nil {
			return nil, err
		}
	}
	var went struct {
		Error string `json:"errorText"`
	}
	if err := b.call(ctx, at.Session, "Page.navigate", map[string]any{"url": address}, &went); err != nil {
		return nil, err
	}
	if went.Error != "" {
		return nil, errors.New(went.Error)
	}
	select {
	case <-loaded:
	case <-b.gone:
		return nil, errGone
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.quiet()
	var value struct {
		Result struct {
			Value string `json:"value"`
		} `json:"result"`
	}
	err := b.call(ctx, at.Session, "Runtime.evaluate", map[string]any{"expression": collect, "returnByValue": true}, &value)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.event = nil
	if err != nil {
		return nil, err
	}
	// An event that was being read when the page was closed still adds to s.
	final := &seen{loads: slices.Clone(s.loads)}
	return final, json.Unmarshal([]byte(value.Result.Value), final)
}

// follow notes what a page loads, and says when it has loaded.
func (b *browser) follow(session string, s *seen) <-chan struct{} {
	loaded := make(chan struct{})
	once := sync.OnceFunc(func() { close(loaded) })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastNet.Store(time.Now().UnixNano())
	b.event = func(m message) {
		if m.Session != session {
			return
		}
		switch m.Method {
		case "Page.loadEventFired":
			once()
		case "Network.requestWillBeSent", "Network.webSocketCreated":
			var e struct {
				Type    string `json:"type"`
				URL     string `json:"url"`
				Request struct {
					URL string `json:"url"`
				} `json:"request"`
			}
			if json.Unmarshal(m.Params, &e) != nil {
				return
			}
			b.lastNet.Store(time.Now().UnixNano())
			if m.Method == "Network.webSocketCreated" {
				e.Type, e.Request.URL = "WebSocket", e.URL
			}
			if d := directives[e.Type]; d != "" {
				b.mu.Lock()
				s.loads = append(s.loads, load{d, e.Request.URL})
				b.mu.Unlock()
			}
		}
	}
	return loaded
}

// quiet waits until nothing has been asked for during a moment.
func (b *browser) quiet() {
	for end := time.Now().Add(settle); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if time.Since(time.Unix(0, b.lastNet.Load())) > quietTime {
			return
		}
	}
}
