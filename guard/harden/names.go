package harden

import (
	"net/http"
	"strings"

	"hauberk.dev/guard"
)

var headerAlias = &guard.Rule{
	ID: "harden.header-alias", Severity: guard.High, Status: http.StatusBadRequest,
	Title: "a header of this request has a misleading name",
	Fix:   "send the header under its real name; underscore and dot become a hyphen in many applications",
	CWE:   290, ASVS: []string{"4.1.3", "4.2.1"},
}

var headerName = &guard.Rule{
	ID: "harden.header-name", Severity: guard.Medium, Status: http.StatusBadRequest,
	Title: "a header of this request has a misleading name",
	Fix:   "nothing: the name is one that JavaScript objects give a meaning of their own",
	CWE:   1321, ASVS: []string{"4.1.3"},
}

var identityHeader = &guard.Rule{
	ID: "harden.identity-header", Severity: guard.Low,
	Title: "a header that only a proxy may set was dropped",
	Fix:   "let the application take the user from its own session; further names go into harden.identity_headers",
	CWE:   290, ASVS: []string{"4.1.3"},
}

var underscoreHeader = &guard.Rule{
	ID: "harden.underscore-header", Severity: guard.Info,
	Title: "a header with an underscore in its name was dropped",
	Fix:   "list the name in harden.underscore_headers if the application reads it",
	CWE:   436, ASVS: []string{"4.1.3"},
}

var connectionOption = &guard.Rule{
	ID: "harden.connection-option", Severity: guard.Low,
	Title: "a header that Connection named was dropped",
	Fix:   "nothing: a field that Connection names belongs to one hop (RFC 9110, 7.6.1)",
	CWE:   444, ASVS: []string{"4.1.3"},
}

var upgrade = &guard.Rule{
	ID: "harden.upgrade", Severity: guard.Low,
	Title: "an upgrade other than to WebSocket was dropped",
	Fix:   "nothing: h2c and other upgrades would open a tunnel that no rule looks into",
	CWE:   444, ASVS: []string{"4.2.1"},
}

// kind says what is done with a header field of some name.
type kind uint8

const (
	ordinary   kind = iota
	hop             // belongs to one connection: dropped, not worth a word
	forwarding      // only a proxy may say it: dropped, browsers' proxies do send it
	identity        // only a proxy may say it, and nobody sends it by accident
	listed          // harden.underscore_headers lets it pass
	aliased         // becomes one of those only after folding
	scored          // has an underscore
	object          // a name of JavaScript's own
)

// proxied are single names that a proxy sets and applications believe. In
// canonical form.
var proxied = func() map[string]kind {
	m := map[string]kind{}
	for k, list := range map[kind]string{
		// Who is on the other end of the wire, and what was asked for first.
		forwarding: `Forwarded X-Forwarded Forwarded-For X-Real-Ip X-Client-Ip True-Client-Ip X-True-Client-Ip
			X-Cluster-Client-Ip Client-Ip X-Originating-Ip X-Remote-Ip X-Remote-Addr X-Proxyuser-Ip
			Cf-Connecting-Ip Cf-Connecting-Ipv6 Cf-Pseudo-Ipv4 Fastly-Client-Ip Fly-Client-Ip Do-Connecting-Ip
			Incap-Client-Ip X-Azure-Clientip X-Azure-Socketip X-Nf-Client-Connection-Ip Wl-Proxy-Client-Ip
			Proxy-Client-Ip X-Original-Forwarded-For X-Original-Url X-Original-Uri X-Original-Host X-Original-Method
			X-Rewrite-Url X-Http-Host-Override X-Host X-Host-Override X-Url-Scheme X-Scheme Front-End-Https
			Wl-Proxy-Ssl X-Arr-Ssl X-Arr-Log-Id X-Script-Name`,
		// Who the user is, and what a server's own modules say to each other:
		// X-Middleware-Subrequest skipped every check of a framework
		// (CVE-2025-29927), the sendfile names map files.
		identity: `X-User X-User-Id X-Userid X-User-Name X-Username X-User-Email X-User-Role X-User-Roles X-User-Groups
			X-User-Info X-Userinfo X-Forwarded-User Remote-User Remote-Groups Remote-Email Remote-Name
			X-Webauth-User X-Endpoint-Api-Userinfo X-Client-Dn X-Client-S-Dn X-Client-Verify Client-Cert
			Client-Cert-Chain X-Arr-Clientcert X-Credential-Identifier X-Anonymous-Consumer X-Jwt-Assertion
			X-Amzn-Oidc-Data X-Amzn-Oidc-Identity X-Amzn-Oidc-Accesstoken X-Middleware-Subrequest
			X-Sendfile-Type X-Accel-Mapping`,
		// Of one hop. Proxy becomes HTTP_PROXY in CGI (httpoxy, CVE-2016-5385).
		hop: `Keep-Alive Proxy-Connection Proxy Proxy-Authorization Proxy-Authenticate Http2-Settings`,
	} {
		for name := range strings.FieldsSeq(list) {
			m[name] = k
		}
	}
	return m
}()

// families are beginnings of names of the same two kinds. X-Auth-Token and
// X-Auth-Key are what clients prove themselves with to an application, so
// they are none.
var families = [...]struct {
	prefix string
	kind   kind
}{
	{"X-Forwarded-User", identity}, {"X-Forwarded-Email", identity}, {"X-Forwarded-Groups", identity},
	{"X-Forwarded-Preferred-Username", identity}, {"X-Forwarded-Access-Token", identity},
	{"X-Forwarded-", forwarding}, {"X-Envoy-", forwarding}, {"X-Vercel-Forwarded-", forwarding},
	{"X-Remote-", identity}, {"X-Auth-", identity}, {"X-Authenticated-", identity}, {"X-Webauth-", identity},
	{"X-Ssl-", identity}, {"Ssl-Client-", identity}, {"X-Client-Cert", identity}, {"X-Consumer-", identity},
	{"X-Goog-Authenticated-User-", identity}, {"X-Goog-Iap-", identity}, {"X-Ms-Client-Principal", identity},
	{"X-Ms-Token-", identity}, {"X-Pomerium-", identity}, {"X-Vouch-", identity}, {"X-Appengine-", identity},
	{"Cf-Access-", identity}, {"Tailscale-User-", identity}, {"Oidc-Claim-", identity}, {"Shib-", identity},
	{"Hauberk-", identity},
}

// decisive are names on which a parser, a room or an application decides.
// Under their real name they pass; under an alias they would be believed by
// an application that folds, and by nobody before it.
var decisive = func() map[string]bool {
	m := map[string]bool{}
	for name := range strings.FieldsSeq(`Host Content-Length Transfer-Encoding Content-Encoding Content-Type
		Connection Te Trailer Upgrade Expect Authorization Cookie Origin Referer
		Sec-Fetch-Site Sec-Fetch-Mode Sec-Fetch-Dest Sec-Fetch-User Sec-Websocket-Key
		X-Http-Method-Override X-Http-Method X-Method-Override Access-Control-Request-Method X-Request-Id`) {
		m[name] = true
	}
	return m
}()

// judge says what is done with a field of that name. more are the names that
// the config adds.
func judge(name string, more map[string]kind) kind {
	if k, ok := more[name]; ok {
		return k
	}
	if k := known(name); k != ordinary {
		return k
	}
	if !strings.ContainsAny(name, "_.") && !loose(name) {
		if odd(name) {
			return object
		}
		return ordinary
	}
	switch {
	case odd(name):
		return object
	case folded(name, more):
		return aliased
	case strings.Contains(name, "_"):
		return scored
	}
	return ordinary
}

// known looks a canonical name up in what every site drops.
func known(name string) kind {
	if k, ok := proxied[name]; ok {
		return k
	}
	if len(name) < 5 || strings.IndexByte("XSCTOH", name[0]) < 0 {
		return ordinary
	}
	for i := range families {
		if f := &families[i]; strings.HasPrefix(name, f.prefix) {
			if name == "X-Auth-Token" || name == "X-Auth-Key" {
				return ordinary
			}
			return f.kind
		}
	}
	return ordinary
}

// loose says that name has a hyphen too many.
func loose(name string) bool {
	return strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") || strings.Contains(name, "--")
}

// folded says that name is a decisive one to an application that reads
// underscore and dot as a hyphen, as CGI, PHP, WSGI and Rack do, or that makes
// words of it and so loses those at its ends and all but one between two words.
func folded(name string, more map[string]kind) bool {
	words := strings.FieldsFunc(name, func(c rune) bool { return c == '-' || c == '_' || c == '.' })
	real := http.CanonicalHeaderKey(strings.Join(words, "-"))
	return decisive[real] || known(real) != ordinary || more[real] == identity
}

// odd says that an object of JavaScript gives name a meaning of its own (Node
// crashed on one: CVE-2026-21710).
func odd(name string) bool {
	switch len(name) {
	case 7, 8, 9, 11, 14:
		for _, own := range [...]string{"constructor", "prototype", "hasownproperty", "tostring", "valueof"} {
			if strings.EqualFold(name, own) {
				return true
			}
		}
	}
	return strings.HasPrefix(name, "__")
}

// trailerName says whether a trailer field may go on: none that would be
// refused or dropped as a header, and none that decides.
func (rm *Room) trailerName(name string) bool {
	return judge(name, nil) == ordinary && rm.names[name] != identity && !decisive[name]
}

// clean drops what only a proxy may say and what belongs to one hop, and
// refuses names that mislead. What is left is what goes up.
func (rm *Room) clean(r *http.Request, x *guard.Exchange) *guard.Denial {
	for name := range r.Header {
		switch judge(name, rm.names) {
		case hop, forwarding:
			delete(r.Header, name)
		case identity:
			delete(r.Header, name)
			rm.note(x, identityHeader, "header."+clip(name), "the client sent %q, which only a proxy may", clip(name))
		case scored:
			delete(r.Header, name)
			rm.note(x, underscoreHeader, "header."+clip(name), "the client sent %q", clip(name))
		case aliased:
			return headerAlias.Deny("%q reads as a header that decides", clip(name)).In("header." + clip(name))
		case object:
			return headerName.Deny("header name %q", clip(name)).In("header." + clip(name))
		}
	}
	for name := range r.Trailer {
		switch {
		case judge(name, rm.names) == aliased:
			return headerAlias.Deny("%q reads as a header that decides", clip(name)).In("trailer." + clip(name))
		case !rm.trailerName(name):
			delete(r.Trailer, name)
		}
	}
	return rm.hops(r, x)
}

// hops settles Connection and Upgrade (RFC 9110, 7.6.1 and 7.8) before
// anything is decided: a field that Connection names is gone for every room,
// as it will be for the application.
func (rm *Room) hops(r *http.Request, x *guard.Exchange) *guard.Denial {
	h := r.Header
	options := h["Connection"]
	asked := h["Upgrade"]
	if len(asked) == 0 && (len(options) == 0 || len(options) == 1 && lasting(options[0])) {
		return nil
	}
	upgrading := false
	for _, list := range options {
		for option := range strings.SplitSeq(list, ",") {
			switch name := http.CanonicalHeaderKey(strings.TrimSpace(option)); {
			case name == "" || lasting(name) || name == "Te" || name == "Http2-Settings":
			case name == "Upgrade":
				upgrading = true
			case decisive[name] && name != "Authorization" && name != "Cookie" && name != "Referer":
				return framing.Deny("Connection names %q", clip(name)).In("header.Connection")
			case h[name] != nil:
				delete(h, name)
				rm.note(x, connectionOption, "header.Connection", "Connection named %q", clip(name))
			}
		}
	}
	if upgrading && len(asked) == 1 && strings.EqualFold(asked[0], "websocket") && r.Method == http.MethodGet && r.ProtoAtLeast(1, 1) {
		h["Connection"] = []string{"Upgrade"}
		return nil
	}
	delete(h, "Connection")
	if len(asked) > 0 {
		delete(h, "Upgrade")
		rm.note(x, upgrade, "header.Upgrade", "the client asked for %q", clip(strings.Join(asked, ", ")))
	}
	return nil
}

func lasting(option string) bool {
	return strings.EqualFold(option, "keep-alive") || strings.EqualFold(option, "close")
}
