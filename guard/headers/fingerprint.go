package headers

import (
	"net/http"
	"net/textproto"

	"hauberk.dev/guard"
)

var fingerprint = &guard.Rule{
	ID: "headers.fingerprint", Severity: guard.Low, Title: "an answer names the software behind",
	Fix: "serve the app through the chain; name a header that the app needs in headers.keep",
	CWE: 200, ASVS: []string{"13.4.6"},
}

// anonymize takes away what tells which software, which version and which
// machine answered. A name that a handler wrote in another letter case is
// folded first: on the wire it is the same header, and would stand beside ours.
func (rt *route) anonymize(h http.Header, x *guard.Exchange) {
	for written, values := range h {
		name := textproto.CanonicalMIMEHeaderKey(written)
		if rt.strip[name] {
			if first(&rt.told.fingerprint) {
				x.Emit(fingerprint.Noted("the app names what it runs on in %q: stripped, as are all headers of the list", name))
			}
			delete(h, written)
		} else if name != written && judged[name] {
			delete(h, written)
			h[name] = append(h[name][:len(h[name]):len(h[name])], values...)
		}
	}
}

// judged are the names that the room reads or sends. Others stay as written:
// the name of a trailer may be in any letter case.
var judged = fold(nosniff, frames, referrer, opener, resource, embedder, agents, auditor, prefetch, flash, cspHeader, features,
	allowOrigin, allowCredentials, "Set-Cookie", "Cache-Control", "Expires", "Pragma", "Vary", "Etag", "Last-Modified", "Content-Type")

// fingerprints are the names of the OWASP Secure Headers Project
// (headers_remove.json) and their next of kin. Two names of that list are not
// here: Server-Timing, with which an app talks to its own scripts, and Via,
// which RFC 9110, 7.6.3 demands of proxies.
var fingerprints = fold(
	"$wsep", "Host-Header", "K-Proxy-Request", "Liferay-Portal", "MicrosoftSharePointTeamServices", "OracleCommerceCloud-Version",
	"Pega-Host", "Powered-By", "Product", "Server", "SourceMap", "X-AspNet-Version", "X-AspNetMvc-Version", "X-Atmosphere-error",
	"X-Atmosphere-first-request", "X-Atmosphere-tracking-id", "X-B3-ParentSpanId", "X-B3-Sampled", "X-B3-SpanId", "X-B3-TraceId", "X-BEServer",
	"X-Backend-Server", "X-Backside-Transport", "X-CF-Powered-By", "X-CMS", "X-CalculatedBETarget", "X-Cocoon-Version", "X-Content-Encoded-By",
	"X-DiagInfo", "X-Drupal-Cache", "X-Drupal-Dynamic-Cache", "X-Envoy-Attempt-Count", "X-Envoy-External-Address", "X-Envoy-Internal",
	"X-Envoy-Original-Dst-Host", "X-Envoy-Upstream-Service-Time", "X-FEServer", "X-Framework", "X-Generated-By", "X-Generator", "X-Jitsi-Release",
	"X-Joomla-Version", "X-Kubernetes-PF-FlowSchema-UI", "X-Kubernetes-PF-PriorityLevel-UID", "X-LiteSpeed-Cache", "X-LiteSpeed-Cache-Control",
	"X-LiteSpeed-Purge", "X-LiteSpeed-Tag", "X-LiteSpeed-Vary", "X-Magento-Cache-Debug", "X-Magento-Tags", "X-Mod-Pagespeed", "X-Nextjs-Cache",
	"X-Nextjs-Matched-Path", "X-Nextjs-Page", "X-Nextjs-Redirect", "X-OWA-Version", "X-Old-Content-Length", "X-OneAgent-JS-Injection",
	"X-Page-Speed", "X-Php-Version", "X-Powered-By", "X-Powered-By-Plesk", "X-Powered-CMS", "X-Rack-Cache", "X-Redirect-By", "X-Runtime",
	"X-Server-Powered-By", "X-SharePointHealthScore", "X-SourceFiles", "X-SourceMap", "X-Symfony-Cache", "X-Turbo-Charged-By",
	"X-Umbraco-Version", "X-Varnish", "X-Varnish-Backend", "X-Varnish-Cache", "X-Varnish-Server", "X-Woodpecker-Version",
	"X-Wix-Server-Artifact-Id", "X-dtAgentId", "X-dtHealthCheck", "X-dtInjectedServlet", "X-ruxit-JS-Agent", "X-Debug-Token", "X-Debug-Token-Link", "X-Shopify-Stage",
)

func fold(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[textproto.CanonicalMIMEHeaderKey(name)] = true
	}
	return set
}
