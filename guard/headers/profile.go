package headers

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// profile is what a set of headers says, in the order in which it is sent.
type profile struct {
	// csp is the policy of every answer; watched is the stricter one that pages
	// carry as Report-Only, "" for none.
	csp, watched string
	// signed is the policy of a page that uses the nonce of its answer; noncePlace
	// stands where the nonce goes. "": no nonce is handed to the app.
	signed   string
	features string
	values   [][2]string
	// pages are sent with pages only, where the app says nothing.
	pages [][2]string
	// silent: no reports are asked for.
	silent bool
}

// strictCSP is the policy of an app that is written for it. A page that uses
// the nonce of its answer gets signedCSP: its own inline code runs, and what
// that loads, and nothing else, not even a file of the site itself.
const (
	noncePlace = "'nonce-R'"
	restCSP    = "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; media-src 'self'; worker-src 'self'; " +
		"frame-src 'self'; object-src 'none'; "
	endCSP    = "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; upgrade-insecure-requests"
	strictCSP = "default-src 'none'; script-src 'self'; style-src 'self'; " + restCSP + endCSP
	signedCSP = "default-src 'none'; script-src " + noncePlace + " 'strict-dynamic'; style-src 'self' " + noncePlace + "; " + restCSP + endCSP
)

// coepOnly asks what an isolated page would lose, trustedTypes which scripts
// write markup as text, integrityOnly which scripts come without their digest.
const (
	coepOnly      = `credentialless; report-to="hauberk"`
	trustedTypes  = "require-trusted-types-for 'script'"
	integrityOnly = "blocked-destinations=(script), endpoints=(hauberk)"
)

const (
	nosniff   = "X-Content-Type-Options"
	frames    = "X-Frame-Options"
	referrer  = "Referrer-Policy"
	opener    = "Cross-Origin-Opener-Policy"
	resource  = "Cross-Origin-Resource-Policy"
	embedder  = "Cross-Origin-Embedder-Policy"
	agents    = "Origin-Agent-Cluster"
	auditor   = "X-Xss-Protection"
	prefetch  = "X-Dns-Prefetch-Control"
	flash     = "X-Permitted-Cross-Domain-Policies"
	cspHeader = "Content-Security-Policy"
	features  = "Permissions-Policy"

	cspOnly   = "Content-Security-Policy-Report-Only"
	embedOnly = "Cross-Origin-Embedder-Policy-Report-Only"
	integrity = "Integrity-Policy-Report-Only"
	endpoints = "Reporting-Endpoints"
)

// denied are the features that no profile leaves to anyone, asked those that
// compat leaves to the site itself, own those that every profile does. A
// passkey, a full screen and a player are no privacy matter.
var (
	denied = []string{
		"accelerometer", "bluetooth", "captured-surface-control", "compute-pressure", "display-capture", "gamepad", "gyroscope", "hid", "idle-detection",
		"local-fonts", "local-network", "loopback-network", "local-network-access", "magnetometer", "midi", "otp-credentials", "screen-wake-lock", "serial",
		"storage-access", "usb", "window-management", "xr-spatial-tracking", "language-model", "summarizer", "on-device-speech-recognition",
		"ch-ua-high-entropy-values", "private-state-token-issuance", "private-state-token-redemption",
	}
	asked = []string{"camera", "geolocation", "microphone", "payment"}
	own   = []string{
		"autoplay", "encrypted-media", "fullscreen", "picture-in-picture", "publickey-credentials-create", "publickey-credentials-get",
		"identity-credentials-get", "web-share", "cross-origin-isolated",
	}
)

func featureList(askedFor string) string {
	var all []string
	for _, f := range denied {
		all = append(all, f+"=()")
	}
	for _, f := range asked {
		all = append(all, f+"="+askedFor)
	}
	for _, f := range own {
		all = append(all, f+"=(self)")
	}
	return strings.Join(all, ", ")
}

// profiles are fixed values. The policy of learned comes from its lock.
var profiles = map[string]profile{
	"strict": {
		csp: strictCSP, signed: signedCSP, watched: trustedTypes,
		pages:    [][2]string{{embedOnly, coepOnly}, {integrity, integrityOnly}},
		features: featureList("()"),
		values: [][2]string{
			{nosniff, "nosniff"}, {frames, "DENY"}, {referrer, "strict-origin-when-cross-origin"}, {opener, "same-origin"},
			{resource, "same-origin"}, {agents, "?1"}, {auditor, "0"}, {prefetch, "off"}, {flash, "none"},
		},
	},
	"compat": {
		csp:      "object-src 'none'; base-uri 'self'; frame-ancestors 'self'",
		watched:  strictCSP,
		features: featureList("(self)"),
		values:   compatValues,
	},
	"learned": {
		features: featureList("(self)"),
		values:   compatValues,
	},
	"api": {
		csp:      "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox",
		features: featureList("()"), silent: true,
		values: [][2]string{
			{nosniff, "nosniff"}, {frames, "DENY"}, {referrer, "no-referrer"}, {opener, "same-origin"}, {resource, "same-origin"},
			{embedder, "require-corp"}, {agents, "?1"}, {auditor, "0"}, {prefetch, "off"}, {flash, "none"},
		},
	},
}

var compatValues = [][2]string{
	{nosniff, "nosniff"}, {frames, "SAMEORIGIN"}, {referrer, "strict-origin-when-cross-origin"}, {opener, "same-origin-allow-popups"},
	{resource, "same-origin"}, {agents, "?1"}, {auditor, "0"}, {flash, "none"},
}

// override builds the route's values from the profile and the operator's own.
func (rt *route) override(p profile, by map[string]string) error {
	values := make(map[string]string, len(p.values)+2)
	for _, v := range p.values {
		values[v[0]] = v[1]
	}
	values[cspHeader], values[features] = p.reported(p.csp), p.features
	if p.watched != "" && !p.silent {
		// Browsers warn of upgrade-insecure-requests here, which reports nothing.
		values[cspOnly] = p.reported(newPolicy(p.watched).without("upgrade-insecure-requests"))
	}
	var errs []error
	for _, written := range slices.Sorted(maps.Keys(by)) {
		name := textproto.CanonicalMIMEHeaderKey(written)
		if err := sendable(name, by[written]); err != nil {
			errs = append(errs, fmt.Errorf("headers.override.%s: %w", written, err))
			continue
		}
		values[name] = by[written]
		if name == cspHeader {
			p.signed = "" // the operator's policy has no place for a nonce
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text := values[name]
		switch name {
		case cspHeader:
			rt.csp = both(text, rt.profile == "learned")
		case cspOnly:
			rt.watched = []string{text}
		case features:
			rt.features = newPermissions(text)
		default:
			v := value{name: name, text: []string{text}, ranks: ranks[name]}
			v.rank, _ = v.ranks.of(text)
			rt.values = append(rt.values, v)
		}
	}
	if p.signed != "" {
		rt.signed = both(p.reported(p.signed), true)
	}
	if !p.silent {
		rt.pages, rt.endpoint = p.pages, []string{`hauberk="` + ReportPath + `"`}
	}
	return errors.Join(errs...)
}

// reported adds where reports go. The operator's own policies stay as they are.
func (p profile) reported(text string) string {
	if p.silent {
		return text
	}
	return text + "; report-to hauberk; report-uri " + ReportPath
}

// sendable says what is wrong with a value that the operator gives.
func sendable(name, text string) error {
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return fmt.Errorf("%q has a byte that no header value may have", text)
		}
	}
	switch name {
	case cspHeader, cspOnly:
		return newPolicy(text).valid()
	case features:
		if _, ok := parsePermissions([]string{text}); !ok {
			return fmt.Errorf("%q is not a list such as \"camera=(), fullscreen=(self)\"", text)
		}
		return nil
	}
	known, ok := ranks[name]
	if !ok {
		return fmt.Errorf("no such header in any profile: want one of %s, %s, %s, %s", cspHeader, cspOnly, features, strings.Join(slices.Sorted(maps.Keys(ranks)), ", "))
	}
	if _, ok := known.of(text); !ok {
		return fmt.Errorf("%q is not a value of it: want one of %s", text, strings.Join(slices.Sorted(maps.Keys(known.order)), ", "))
	}
	return nil
}

// value is a header that has one value, and knows which values are stricter.
type value struct {
	name  string
	text  []string // shared by all answers, never written to
	ranks ranking
	rank  int
}

// put sends the stricter of the app's value and ours. A value that nobody can
// read, or two of them, count as none: browsers disagree about what they mean. It returns the app's value that it replaced.
func (v *value) put(h http.Header) string {
	app := h[v.name]
	if len(app) == 0 {
		h[v.name] = v.text
		return ""
	}
	if len(app) == 1 {
		if rank, ok := v.ranks.of(app[0]); ok && rank >= v.rank {
			return ""
		}
	}
	h[v.name] = v.text
	return strings.Join(app, ", ")
}

// ranking orders the values of a header, the strictest highest.
type ranking struct {
	order map[string]int
	// list: the last value that is known counts (Referrer-Policy, 8.1).
	list bool
	// parameters: what follows a semicolon does not change the meaning.
	parameters bool
}

func (k ranking) of(text string) (int, bool) {
	if k.parameters {
		text, _, _ = strings.Cut(text, ";")
	}
	if !k.list {
		rank, ok := k.order[strings.ToLower(strings.TrimSpace(text))]
		return rank, ok
	}
	best, found := 0, false
	for one := range strings.SplitSeq(text, ",") {
		if rank, ok := k.order[strings.ToLower(strings.TrimSpace(one))]; ok {
			best, found = rank, true
		}
	}
	return best, found
}

// ranks are fixed values. Of a Referrer-Policy counts first what other sites
// learn, then what the line does.
var ranks = map[string]ranking{
	nosniff: {order: map[string]int{"nosniff": 1}},
	frames:  {order: map[string]int{"sameorigin": 1, "deny": 2}},
	referrer: {list: true, order: map[string]int{
		"unsafe-url": 1, "no-referrer-when-downgrade": 2, "origin-when-cross-origin": 3, "origin": 4,
		"strict-origin-when-cross-origin": 5, "strict-origin": 6, "same-origin": 7, "no-referrer": 8,
	}},
	opener: {parameters: true, order: map[string]int{
		"unsafe-none": 1, "same-origin-allow-popups": 2, "noopener-allow-popups": 3, "same-origin": 4,
	}},
	resource: {order: map[string]int{"cross-origin": 1, "same-site": 2, "same-origin": 3}},
	embedder: {parameters: true, order: map[string]int{"unsafe-none": 1, "credentialless": 2, "require-corp": 3}},
	agents:   {order: map[string]int{"?0": 1, "?1": 2}},
	auditor:  {order: map[string]int{"0": 1}},
	prefetch: {order: map[string]int{"on": 1, "off": 2}},
	flash: {order: map[string]int{
		"all": 1, "by-ftp-filename": 2, "by-content-type": 2, "master-only": 3, "none": 4,
	}},
}
