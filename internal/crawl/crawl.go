// Package crawl walks through a site of the operator's own and tells which
// inline scripts its pages really serve.
//
// A script counts as the site's only if three requests for the same address
// got it alike: a bare one, one with another browser, language, cookie and
// query, and a later one. What follows the request is what an attacker may
// choose, and is told apart. A browser, where there is one, finds pages and
// loads that only scripts make; what it sees is never pinned.
package crawl

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options are what a walk needs.
type Options struct {
	// Client fetches; it follows no redirect. Nil means http.DefaultTransport's.
	Client *http.Client
	// Pages bounds how many pages are visited; 0 means 200.
	Pages int
	// Browser is the path of a Chromium, "" for none.
	Browser string
	// Cookies go with every request to the site, as somebody's who has signed in.
	Cookies []*http.Cookie
	// Pins are digests of public keys that the browser takes for good, as
	// Client did.
	Pins []string
	// Progress is told each page; nil for nobody.
	Progress func(page string)
}

// Script is one inline script.
type Script struct {
	Text   string
	Routes []string
	// Why says what keeps it from being pinned.
	Why string
}

// Result is what a walk found, each list in the order in which it was met.
type Result struct {
	Pages    []string
	Pinned   []Script
	Unpinned []Script
	// Sources are origins by directive; 'self' is the site's own.
	Sources map[string][]string
	// Notes are what the operator should know.
	Notes []string
}

const (
	defaultPages = 200
	maxQueries   = 3 // of one path
	apart        = 1100 * time.Millisecond
	patience     = 15 * time.Second
)

// walk is one Walk under way.
type walk struct {
	Options
	start   *url.URL
	queue   []*url.URL
	known   map[string]bool
	queries map[string]int
	visited []*visit
	sources map[string]map[string]bool
	notes   []string
	tab     *browser
}

// visit is one page, as several requests got it.
type visit struct {
	at     *url.URL
	bare   *page
	made   []string // scripts that only the browser saw
	shared map[string]bool
	query  bool
	route  string
}

// Walk visits the pages that can be reached from start on its own origin. It
// asks with GET only, and with no cookies but those that it is given.
func Walk(ctx context.Context, start *url.URL, o Options) (*Result, error) {
	if o.Pages == 0 {
		o.Pages = defaultPages
	}
	client := &http.Client{Timeout: patience}
	if o.Client != nil {
		*client = *o.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar, o.Client = nil, client
	w := &walk{Options: o, start: start, known: map[string]bool{}, queries: map[string]int{}, sources: map[string]map[string]bool{}}
	if o.Browser != "" {
		tab, err := launch(ctx, o.Browser, o.Pins)
		if err != nil {
			w.notes = append(w.notes, fmt.Sprintf("the browser did not start, so pages were only fetched: %v", err))
		} else {
			w.tab = tab
			defer tab.close()
			if err := tab.keep(ctx, start, o.Cookies); err != nil {
				w.notes = append(w.notes, fmt.Sprintf("the browser does not take the cookies, so its pages are those of a stranger: %v", err))
			}
		}
	}
	w.add(start)
	if start.Path != "" && start.Path != "/" {
		w.add(start.JoinPath("/"))
	}
	begin := time.Now()
	for len(w.queue) > 0 && len(w.visited) < o.Pages {
		u := w.queue[0]
		w.queue = w.queue[1:]
		if err := w.visit(ctx, u); err != nil {
			return nil, err
		}
	}
	if len(w.queue) > 0 {
		w.notes = append(w.notes, fmt.Sprintf("%d pages were visited and more are there: --pages raises the bound", o.Pages))
	}
	if len(w.visited) == 0 {
		return nil, fmt.Errorf("%s: no page of HTML answers there: %s", start, strings.Join(w.notes, "; "))
	}
	if err := w.again(ctx, begin); err != nil {
		return nil, err
	}
	return w.result(), nil
}

// add queues an address of the site that was not met before. With a query it
// is visited beside the same path without one.
func (w *walk) add(u *url.URL) {
	if !same(u, w.start) || strings.HasPrefix(u.Path, "/.hauberk/") {
		return
	}
	u = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	if u.Path == "" {
		u.Path = "/"
	}
	if u.RawQuery != "" {
		path := *u
		path.RawQuery = ""
		w.add(&path)
		if w.queries[u.Path]++; w.queries[u.Path] > maxQueries {
			return
		}
	}
	if key := u.String(); !w.known[key] {
		w.known[key] = true
		w.queue = append(w.queue, u)
	}
}

func same(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }

// visit fetches a page for the first time and looks at it in the browser.
func (w *walk) visit(ctx context.Context, u *url.URL) error {
	p, err := w.fetch(ctx, u, false)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.notes = append(w.notes, err.Error())
		return nil
	}
	if p == nil {
		return nil
	}
	if w.Progress != nil {
		w.Progress(u.RequestURI())
	}
	v := &visit{at: u, bare: p, shared: set(p.scripts), query: u.RawQuery != "", route: u.EscapedPath()}
	if !p.valid {
		w.notes = append(w.notes, fmt.Sprintf("%s is not UTF-8: none of its scripts is pinned", u.RequestURI()))
		v.shared = nil
	}
	w.visited = append(w.visited, v)
	for _, l := range p.links {
		w.add(l)
	}
	for directive, list := range p.loads {
		for _, l := range list {
			w.source(directive, l)
		}
	}
	if w.tab == nil {
		return nil
	}
	seen, err := w.tab.look(ctx, u.String())
	if err != nil {
		w.notes = append(w.notes, fmt.Sprintf("%s in the browser: %v", u.RequestURI(), err))
		return ctx.Err()
	}
	// A script that differs from request to request is none that was made.
	if len(seen.Scripts) > len(p.scripts) {
		for _, text := range seen.Scripts {
			if !slices.Contains(p.scripts, text) {
				v.made = append(v.made, text)
			}
		}
	}
	for _, l := range seen.Links {
		if u := p.address(l); u != nil {
			w.add(u)
		}
	}
	for _, l := range seen.loads {
		if u, err := url.Parse(l.url); err == nil {
			w.source(l.directive, u)
		}
	}
	return nil
}

// fetch returns the page of an address, nil where none is. A redirect within
// the site is followed as a link. As another, the request comes from another
// browser and carries what a page might repeat.
func (w *walk) fetch(ctx context.Context, u *url.URL, another bool) (*page, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1")
	r.Header.Set("User-Agent", "Mozilla/5.0 (compatible; Hauberk)")
	for _, c := range w.Cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value, Quoted: c.Quoted})
	}
	if another {
		mark := strings.ToLower(rand.Text())
		q := "hauberk=" + mark
		if u.RawQuery != "" {
			q = u.RawQuery + "&" + q
		}
		r.URL.RawQuery = q
		r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "+mark)
		r.Header.Set("Accept-Language", "de-CH, fr;q=0.5")
		r.AddCookie(&http.Cookie{Name: "hauberk", Value: mark})
		r.Header.Set("Referer", w.start.String()+"?"+mark)
	}
	res, err := w.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if to, err := res.Location(); err == nil && res.StatusCode/100 == 3 {
		w.add(to)
		return nil, nil
	}
	kind, params, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.StatusCode != http.StatusOK || kind != "text/html" && kind != "application/xhtml+xml" {
		io.CopyN(io.Discard, res.Body, 64<<10)
		return nil, nil
	}
	p, err := parsePage(res.Body, u)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.RequestURI(), err)
	}
	if set := params["charset"]; set != "" && !strings.EqualFold(set, "utf-8") && !strings.EqualFold(set, "us-ascii") {
		p.valid = false
	}
	return p, nil
}

// again asks for every page twice more, and keeps of its scripts what all
// requests got.
func (w *walk) again(ctx context.Context, begin time.Time) error {
	for _, another := range []bool{true, false} {
		if !another {
			select {
			case <-time.After(time.Until(begin.Add(apart))):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for _, v := range w.visited {
			p, err := w.fetch(ctx, v.at, another)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil || p == nil {
				v.shared = nil
				w.notes = append(w.notes, fmt.Sprintf("%s did not answer alike: none of its scripts is pinned", v.at.RequestURI()))
				continue
			}
			maps.DeleteFunc(v.shared, func(text string, _ bool) bool { return !slices.Contains(p.scripts, text) })
		}
	}
	return nil
}

// source notes where something was loaded from.
func (w *walk) source(directive string, u *url.URL) {
	name := u.Scheme + "://" + u.Host
	switch {
	case u.Host == "":
		return
	case strings.EqualFold(u.Host, w.start.Host):
		name = "'self'"
		if directive != "script-src" && directive != "form-action" {
			return // every profile allows it
		}
	}
	if w.sources[directive] == nil {
		w.sources[directive] = map[string]bool{}
	}
	w.sources[directive][name] = true
}

func set(list []string) map[string]bool {
	m := map[string]bool{}
	for _, s := range list {
		m[s] = true
	}
	return m
}

// ErrNoAddress says that an address is not one of a site.
var ErrNoAddress = errors.New("want an address such as http://localhost:3000")

// Address reads the address of a site.
func Address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q: %w", text, ErrNoAddress)
	}
	u.Fragment = ""
	return u, nil
}
