package main

import (
	"fmt"

	"hauberk.dev"
	"hauberk.dev/internal/gateway"
)

// upstream reads the forms of --to and returns the one that a file would hold.
func upstream(to string) (string, error) {
	u, err := gateway.Parse(to)
	if err != nil {
		return "", fmt.Errorf("--to: %w", err)
	}
	return u.String(), nil
}

// upstreams lists the upstreams of a config, each once.
func upstreams(c hauberk.Config) []string {
	var all []string
	seen := map[string]bool{"": true}
	add := func(to string) {
		if !seen[to] {
			seen[to] = true
			all = append(all, to)
		}
	}
	for _, s := range c.Sites {
		add(s.To)
		for _, r := range s.Routes {
			add(r.To)
		}
	}
	return all
}

// localPort returns the port of an upstream on this machine.
func localPort(to string) (uint16, bool) {
	u, err := gateway.Parse(to)
	if err != nil {
		return 0, false
	}
	return u.Loopback()
}

// appWarnings says what about the apps themselves lets an attacker go around
// Hauberk, or learn what only a developer should.
func appWarnings(c hauberk.Config) []string {
	var all []string
	for _, to := range upstreams(c) {
		port, ok := localPort(to)
		if !ok {
			continue
		}
		found := listeners(port)
		for _, l := range found {
			if !l.addr.Addr().IsLoopback() {
				all = append(all, fmt.Sprintf("the app %s listens on %s, so others can go around Hauberk: make it listen on 127.0.0.1 alone", l, l.addr))
			}
		}
		all = append(all, modeWarnings(found)...)
	}
	return all
}

// modeWarnings looks at NODE_ENV: without "production" Express sends stack
// traces to whoever makes it fail.
func modeWarnings(found []listener) []string {
	var all []string
	for _, l := range found {
		if p := l.program(); p != "node" && p != "nodejs" {
			continue
		}
		mode, known := l.environ("NODE_ENV")
		if known && mode != "production" {
			said := fmt.Sprintf("is %q", mode)
			if mode == "" {
				said = "is not set"
			}
			all = append(all, fmt.Sprintf("NODE_ENV of the app %s %s: start it with NODE_ENV=production, else it tells strangers its stack traces", l, said))
		}
	}
	return all
}
