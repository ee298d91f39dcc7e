package headers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/internal/origin"
)

// policy is a Content-Security-Policy that we send.
type policy struct {
	text       []string // shared by all answers, never written to
	directives []directive
	// exact: what it signs was reviewed, or is of this answer alone, so that
	// no other signature of the app's is as good.
	exact bool
}

type directive struct {
	name    string
	sources []string
}

func newPolicy(text string) policy {
	return policy{text: []string{text}, directives: parsePolicy(text)}
}

// policies are one policy for names on the net and one for local names, where
// nothing may be upgraded to TLS that is not there.
type policies struct {
	net, local policy
	differ     bool
}

func both(text string, exact bool) policies {
	p := policies{net: newPolicy(text)}
	if p.differ = p.net.has("upgrade-insecure-requests"); p.differ {
		p.local = newPolicy(p.net.without("upgrade-insecure-requests"))
	}
	p.net.exact, p.local.exact = exact, exact
	return p
}

// at returns the policy for answers of host.
func (p *policies) at(host string) *policy {
	if p.differ && origin.Local(host) {
		return &p.local
	}
	return &p.net
}

// parsePolicy reads one policy (CSP Level 3, 2.2.1): of two directives of one
// name the first counts.
func parsePolicy(text string) []directive {
	var all []directive
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		name := strings.ToLower(words[0])
		if _, found := find(all, name); !found {
			all = append(all, directive{name, words[1:]})
		}
	}
	return all
}

func find(all []directive, name string) ([]string, bool) {
	for i := range all {
		if all[i].name == name {
			return all[i].sources, true
		}
	}
	return nil, false
}

func (p policy) has(name string) bool {
	_, found := find(p.directives, name)
	return found
}

func (p policy) without(name string) string {
	var parts []string
	for _, d := range p.directives {
		if d.name != name {
			parts = append(parts, strings.Join(append([]string{d.name}, d.sources...), " "))
		}
	}
	return strings.Join(parts, "; ")
}

// put adds our policy to the app's. A browser obeys every policy it gets, so
// two of them allow what both allow, and ours takes nothing of the app's away.
// An app's that already holds everything ours does stays alone; so does that
// of our own refusal pages, which allows nothing but their style. It returns
// true where it stands beside the app's.
func (p *policy) put(h http.Header) bool {
	app := h[cspHeader]
	for _, line := range app {
		if line == guard.PageCSP {
			return false
		}
		for one := range strings.SplitSeq(line, ",") {
			if p.heldBy(parsePolicy(one)) {
				return false
			}
		}
	}
	if len(app) == 0 || len(app) == 1 && strings.TrimSpace(app[0]) == "" {
		h[cspHeader] = p.text
		return false
	}
	both := make([]string, 0, len(app)+1)
	h[cspHeader] = append(append(both, app...), p.text...)
	return true
}

// heldBy says that an app's policy is at least as strict in all that ours says.
// It asks for every kind of load, for a wide img-src opens what a narrow
// default-src closes.
func (p *policy) heldBy(app []directive) bool {
	if len(app) == 0 {
		return false
	}
	for _, chain := range fetches {
		ours, found := effective(p.directives, chain)
		if !found {
			continue
		}
		theirs, found := effective(app, chain)
		if !found || !within(theirs, ours, chain[0], p.exact) {
			return false
		}
	}
	for _, d := range p.directives {
		switch d.name {
		case "report-to", "report-uri":
			// Who is told of a violation allows nothing.
		case "base-uri", "form-action", "frame-ancestors", "sandbox":
			if theirs, found := find(app, d.name); !found || !within(theirs, d.sources, d.name, p.exact) {
				return false
			}
		default:
			if fetching(d.name) {
				continue
			}
			if theirs, found := find(app, d.name); !found || !slices.Equal(theirs, d.sources) {
				return false
			}
		}
	}
	return true
}

// fetches are the kinds of load, each with the directives that a browser looks
// for in turn (CSP Level 3, 6.8.3).
var fetches = [][]string{
	{"script-src-elem", "script-src", "default-src"}, {"script-src-attr", "script-src", "default-src"}, {"script-src", "default-src"},
	{"style-src-elem", "style-src", "default-src"}, {"style-src-attr", "style-src", "default-src"}, {"style-src", "default-src"},
	{"worker-src", "child-src", "script-src", "default-src"}, {"frame-src", "child-src", "default-src"},
	{"img-src", "default-src"}, {"font-src", "default-src"}, {"connect-src", "default-src"}, {"manifest-src", "default-src"},
	{"media-src", "default-src"}, {"object-src", "default-src"}, {"prefetch-src", "default-src"}, {"fenced-frame-src", "frame-src", "child-src", "default-src"},
}

func fetching(name string) bool {
	return name == "child-src" || slices.ContainsFunc(fetches, func(chain []string) bool { return slices.Contains(chain, name) })
}

func effective(all []directive, chain []string) ([]string, bool) {
	for _, name := range chain {
		if sources, found := find(all, name); found {
			return sources, true
		}
	}
	return nil, false
}

// within says that theirs allow nothing that ours do not. Names are compared
// as written: a policy that says the same in other words gets ours beside it,
// which costs bytes and nothing else.
func within(theirs, ours []string, name string, exact bool) bool {
	if len(theirs) == 1 && name != "sandbox" && strings.EqualFold(theirs[0], "'none'") {
		return true
	}
	signed := !exact && (strings.HasPrefix(name, "script-src") || strings.HasPrefix(name, "style-src")) && slices.ContainsFunc(theirs, isSigned) && slices.ContainsFunc(ours, isSigned)
	dynamic := slices.ContainsFunc(theirs, isDynamic) && slices.ContainsFunc(ours, isDynamic)
	for _, s := range theirs {
		keyword := s
		if strings.HasPrefix(s, "'") || strings.HasSuffix(s, ":") {
			keyword = strings.ToLower(s)
		}
		switch {
		case slices.Contains(ours, s), slices.Contains(ours, keyword):
		case signed && (isSigned(s) || keyword == "'unsafe-inline'"):
			// A nonce or a hash names the very scripts that the app means, and
			// switches 'unsafe-inline' off (CSP Level 3, 6.7.3.2). It also lets
			// inline code run and scripts come from other hosts, so it is
			// within a policy that has signatures itself, and within no other.
		case signed && dynamic && strings.HasPrefix(name, "script-src") && (keyword == "https:" || keyword == "http:"):
			// So does 'strict-dynamic' with hosts and schemes.
		default:
			return false
		}
	}
	return true
}

func isDynamic(s string) bool { return strings.EqualFold(s, "'strict-dynamic'") }

func isSigned(s string) bool {
	s = strings.ToLower(s)
	return strings.HasPrefix(s, "'nonce-") || strings.HasPrefix(s, "'sha256-") || strings.HasPrefix(s, "'sha384-") || strings.HasPrefix(s, "'sha512-")
}

// known are the directives that an operator may write.
var known = []string{
	"default-src", "script-src", "script-src-elem", "script-src-attr", "style-src", "style-src-elem", "style-src-attr", "img-src", "font-src",
	"connect-src", "manifest-src", "media-src", "object-src", "child-src", "frame-src", "worker-src", "base-uri", "form-action", "frame-ancestors",
	"sandbox", "upgrade-insecure-requests", "require-trusted-types-for", "trusted-types", "report-to", "report-uri",
}

func (p policy) valid() error {
	if len(p.directives) == 0 {
		return fmt.Errorf("a policy is required, such as \"object-src 'none'\"")
	}
	if strings.Contains(p.text[0], ",") {
		return fmt.Errorf("%q: a comma begins another policy: write one", p.text[0])
	}
	for _, d := range p.directives {
		if !slices.Contains(known, d.name) {
			return fmt.Errorf("%q is not a directive: want one of %s", d.name, strings.Join(known, ", "))
		}
	}
	return nil
}
