package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/https"
	"hauberk.dev/internal/crawl"
	"hauberk.dev/internal/disk"
)

// cspFlags are those of both verbs.
type cspFlags struct {
	lock, state string
	cookies     []string
	pages       int
	plain       bool
}

func cspCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "csp", Short: "learn which inline scripts a site serves, for `headers: learned`",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("want learn or check")
			}
			return usagef("unknown verb %q%s", args[0], suggest(args[0], verbs(c)))
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	var f cspFlags
	learn := &cobra.Command{
		Use: "learn URL", Short: "walk through the site and write the lock file", Args: oneAddress,
		Long: "Learn visits the pages of your own site and pins the inline scripts that every\n" +
			"request gets alike. It asks with GET only, and with no cookies but those of\n" +
			"--cookie. Review the file that it writes: what it pins may run. Then say\n" +
			"`headers: learned`.\n\n" +
			"Behind a sign-in, give the cookie of a session made for this: other users of the\n" +
			"machine see it in the list of processes, and a link that signs out ends it. What\n" +
			"is another for each user looks alike to one session: look for it in the review.",
		RunE: func(c *cobra.Command, args []string) error {
			return learn(c.Context(), voiceOf(c.OutOrStdout()), args[0], f)
		},
	}
	check := &cobra.Command{
		Use: "check URL", Short: "say what changed since the lock file was written", Args: oneAddress,
		Long: "Check walks through the site as learn does, writes nothing, and fails where the\n" +
			"lock would stop what the site serves, or pins what it no longer serves.",
		RunE: func(c *cobra.Command, args []string) error {
			return checkLock(c.Context(), voiceOf(c.OutOrStdout()), args[0], f)
		},
	}
	for _, sub := range []*cobra.Command{learn, check} {
		sub.Flags().StringVar(&f.lock, "lock", headers.DefaultLock, "the lock file")
		sub.Flags().StringVar(&f.state, "state", "", "the state directory whose local CA is trusted, beside the system's")
		sub.Flags().StringArrayVar(&f.cookies, "cookie", nil, "a cookie sent with every request, as name=value; may be given several times, and is never written down")
		sub.Flags().IntVar(&f.pages, "pages", 200, "how many pages are visited at most")
		sub.Flags().BoolVar(&f.plain, "no-browser", false, "fetch only, although a Chromium is there")
	}
	c.AddCommand(learn, check)
	return c
}

func oneAddress(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("want one address, such as http://localhost:3000")
	}
	if _, err := crawl.Address(args[0]); err != nil {
		return usage{err}
	}
	return nil
}

// learn writes the lock and says what changed in it.
func learn(ctx context.Context, v voice, site string, f cspFlags) error {
	before, err := readLock(f.lock)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	known := err == nil
	now, err := survey(ctx, v, site, f)
	if err != nil {
		return err
	}
	text, err := now.Text()
	if err != nil {
		return err
	}
	if err := disk.Replace(f.lock, text, 0o644); err != nil {
		return err
	}
	if known {
		compare(v, before, now)
	} else {
		for _, s := range now.Scripts {
			v.line("%s    %s on %s: %s", v.green("pinned"), s.Hash, strings.Join(s.Routes, " "), summary(s))
		}
		for _, s := range now.Unpinned {
			v.line("%s on %s: %s: %s", v.yellow("not pinned"), strings.Join(s.Routes, " "), summary(s), s.Why)
		}
	}
	v.line("%s: %d scripts pinned, %d not: review it, then say `headers: learned`", f.lock, len(now.Scripts), len(now.Unpinned))
	return nil
}

// checkLock compares the lock with the site.
func checkLock(ctx context.Context, v voice, site string, f cspFlags) error {
	before, err := readLock(f.lock)
	if err != nil {
		return err
	}
	now, err := survey(ctx, v, site, f)
	if err != nil {
		return err
	}
	if n := compare(v, before, now); n > 0 {
		return fmt.Errorf("%s: %d things changed on %s: review them, then run hauberk csp learn", f.lock, n, site)
	}
	v.line("%s: %s", f.lock, v.green("nothing changed"))
	return nil
}

// compare says what differs, and counts what would stop or is pinned in vain.
func compare(v voice, before, now headers.Lock) int {
	changed := 0
	tell := func(mark paint, s headers.Script) {
		changed++
		v.line("%s on %s: %s%s", mark, strings.Join(s.Routes, " "), summary(s), because(s))
	}
	for _, s := range without(now.Scripts, before.Scripts) {
		tell(v.yellow("new script"), s)
	}
	for _, s := range without(before.Scripts, now.Scripts) {
		tell(v.yellow("gone script"), s)
	}
	for _, s := range without(now.Unpinned, before.Unpinned) {
		if s.Why != "" && !varies(s, before) {
			tell(v.yellow("new, not to be pinned"), s)
		}
	}
	for _, directive := range slices.Sorted(maps.Keys(now.Sources)) {
		for _, s := range now.Sources[directive] {
			if !contains(before.Sources[directive], s) {
				changed++
				v.line("%s %s from %s", v.yellow("new source"), directive, s)
			}
		}
	}
	for _, directive := range slices.Sorted(maps.Keys(before.Sources)) {
		for _, s := range before.Sources[directive] {
			if !contains(now.Sources[directive], s) {
				v.line("not seen: %s from %s", directive, s)
			}
		}
	}
	return changed
}

// varies says that the lock has a script of the same route which is known to
// differ from request to request: its text is another each time.
func varies(s headers.Script, before headers.Lock) bool {
	for _, b := range before.Unpinned {
		if b.Why == s.Why && b.Hash == "" && strings.Join(b.Routes, " ") == strings.Join(s.Routes, " ") && len(b.Text) == len(s.Text) {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// without returns the scripts of all whose text is not among others.
func without(all, others []headers.Script) []headers.Script {
	known := map[string]bool{}
	for _, s := range others {
		known[strings.Join(s.Text, "\n")] = true
	}
	var left []headers.Script
	for _, s := range all {
		if !known[strings.Join(s.Text, "\n")] {
			left = append(left, s)
		}
	}
	return left
}

func because(s headers.Script) string {
	if s.Why == "" {
		return ""
	}
	return ": " + s.Why
}

// summary is the beginning of a script on one line.
func summary(s headers.Script) string {
	text := strings.Join(strings.Fields(strings.Join(s.Text, " ")), " ")
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}

// survey walks through the site.
func survey(ctx context.Context, v voice, site string, f cspFlags) (headers.Lock, error) {
	start, err := crawl.Address(site)
	if err != nil {
		return headers.Lock{}, err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := crawl.Options{Pages: f.pages}
	for _, line := range f.cookies {
		c, err := http.ParseCookie(line)
		if err != nil || len(c) != 1 {
			return headers.Lock{}, usagef("--cookie: want one cookie as name=value") // the value is not repeated
		}
		o.Cookies = append(o.Cookies, c[0])
	}
	if !f.plain {
		o.Browser = findChromium()
	}
	if o.Client, o.Pins, err = trusting(ctx, start, f.state); err != nil {
		return headers.Lock{}, err
	}
	how := "pages are fetched; no Chromium runs their scripts"
	if o.Browser != "" {
		how = "pages are fetched, and opened in " + o.Browser
	}
	v.line("visiting %s: %s", site, how)
	found, err := crawl.Walk(ctx, start, o)
	if err != nil {
		return headers.Lock{}, err
	}
	for _, n := range found.Notes {
		v.warn("%s", n)
	}
	v.line("visited %d pages", len(found.Pages))
	l := headers.Lock{Version: 1, Site: start.Scheme + "://" + start.Host, Sources: found.Sources, Scripts: []headers.Script{}}
	for _, s := range found.Pinned {
		l.Scripts = append(l.Scripts, headers.Script{Hash: headers.HashScript(s.Text), Routes: s.Routes, Text: strings.Split(s.Text, "\n")})
	}
	for _, s := range found.Unpinned {
		l.Unpinned = append(l.Unpinned, headers.Script{Routes: s.Routes, Why: s.Why, Text: strings.Split(s.Text, "\n")})
	}
	return l, nil
}

// handshakeTime bounds how long a site may take to show its certificate.
const handshakeTime = 15 * time.Second

// trusting returns a client that also trusts the local CA of a state
// directory, and the pins by which the browser does so for this site alone.
func trusting(ctx context.Context, start *url.URL, state string) (*http.Client, []string, error) {
	if start.Scheme != "https" {
		return nil, nil, nil
	}
	dir, err := stateDir(state, "")
	if err != nil {
		return nil, nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	ca, err := os.ReadFile(https.CAFile(dir))
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		return nil, nil, nil
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	addr := start.Host
	if start.Port() == "" {
		addr += ":443"
	}
	shake, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	c, err := (&tls.Dialer{Config: config}).DialContext(shake, "tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", start, err)
	}
	defer c.Close()
	sum := sha256.Sum256(c.(*tls.Conn).ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = config
	return &http.Client{Transport: t}, []string{base64.StdEncoding.EncodeToString(sum[:])}, nil
}

// findChromium returns the path of a Chromium or Chrome, "" for none.
func findChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func readLock(name string) (headers.Lock, error) {
	src, err := os.Open(name)
	if err != nil {
		return headers.Lock{}, err
	}
	defer src.Close()
	l, err := headers.ReadLock(src)
	if err != nil {
		return l, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}
