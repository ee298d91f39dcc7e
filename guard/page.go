package guard

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// pageStyle is the whole style of a refusal page. It needs no script, no
// image and no second request, and follows the reader's light or dark choice.
const pageStyle = `
:root{color-scheme:light dark;--ink:#1d2430;--dim:#566072;--paper:#f5f6f8;--card:#fff;--line:#dfe3ea;--mark:#a3341f}
@media (prefers-color-scheme:dark){:root{--ink:#e8ebf1;--dim:#a3adbd;--paper:#14181f;--card:#1d232d;--line:#323b49;--mark:#f0937f}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--paper);color:var(--ink);font:1rem/1.6 system-ui,sans-serif}
main{width:100%;max-width:36rem;background:var(--card);border:1px solid var(--line);border-top:4px solid var(--mark);border-radius:.5rem;padding:2rem}
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25}
p{margin:0 0 1rem}
.code{margin:0 0 .5rem;color:var(--mark);font-weight:600}
dl{margin:1.5rem 0 0;padding-top:1rem;border-top:1px solid var(--line);color:var(--dim);font-size:.9rem}
dt{font-weight:600}
dd{margin:0 0 .75rem;overflow-wrap:anywhere}
code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}
a{color:inherit}
`

// PageCSP is the policy of Hauberk's own refusal pages: nothing but their own
// style.
var PageCSP = pagePolicy()

func pagePolicy() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// problem is an RFC 9457 object. Rule, Detail and Fix are for a developer at
// the machine itself; a stranger gets the first four.
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Instance string `json:"instance,omitempty"`
	Rule     string `json:"rule,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Fix      string `json:"fix,omitempty"`
}

func writePage(w http.ResponseWriter, r *http.Request, x *Exchange, d *Denial) {
	p := problem{Type: "about:blank", Title: d.Rule.Title, Status: d.Code()}
	if x.ID != "" {
		p.Instance = "urn:hauberk:incident:" + x.ID
	}
	if x.Local {
		p.Rule, p.Detail, p.Fix = d.Rule.ID, d.Err.Error(), d.Rule.Fix
	}
	h := w.Header()
	for name, values := range d.Header {
		h[name] = values
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if d.Remedy != "" && navigates(r) {
		h.Set("Location", d.Remedy)
		h.Set("Vary", "Sec-Fetch-Mode, Sec-Fetch-Dest, Accept")
		h.Set("Content-Length", "0")
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	var body string
	if wantsPage(r) {
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", PageCSP)
		body = page(p, x.ID)
		if d.Page != nil {
			h.Set("Content-Security-Policy", d.Page.CSP)
			x.Policy, body = d.Page.CSP, d.Page.HTML
		}
	} else {
		h.Set("Content-Type", "application/problem+json")
		text, err := json.Marshal(p)
		if err != nil { // strings and numbers always marshal
			panic(err)
		}
		body = string(text) + "\n"
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	io.WriteString(w, body)
}

// navigates says that a browser is about to show the answer as a page of its
// own: so it says itself (Fetch Metadata), or, where it says nothing, it asks
// for one.
func navigates(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	if mode != "" || dest != "" {
		return mode == "navigate" && dest == "document"
	}
	return wantsPage(r) && r.Header.Get("X-Requested-With") == ""
}

// wantsPage says whether a person will read the answer.
func wantsPage(r *http.Request) bool {
	for _, line := range r.Header["Accept"] {
		for part := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), "text/html") {
				q := strings.ReplaceAll(params, " ", "")
				return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
			}
		}
	}
	return false
}

func page(p problem, id string) string {
	head, advice := "This request was refused", "If you followed a link or sent a form on this site, go back, reload the page and try once more. If it happens again, tell whoever runs the site, with the incident number below."
	switch {
	case p.Status == http.StatusTooManyRequests:
		head, advice = "Too many requests", "More was asked for from your address than this site gives at once. Please wait a moment, then reload the page. If it happens again, tell whoever runs the site, with the incident number below."
	case p.Status >= 500:
		head, advice = "Something went wrong here", "It is not your fault, and your data was not shown to anyone. Please try again in a moment. If it happens again, tell whoever runs the site, with the incident number below."
	case p.Status == http.StatusNotFound:
		head, advice = "There is nothing here", "Check the address for a typing mistake, or go back to the start page."
	case p.Status >= 300 && p.Status < 400:
		head, advice = "This page has a safer address", "Your browser should take you there by itself."
	}
	var b strings.Builder
	b.WriteString("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n<title>")
	b.WriteString(strconv.Itoa(p.Status) + " · " + html.EscapeString(p.Title))
	b.WriteString("</title>\n<style>" + pageStyle + "</style>\n</head>\n<body>\n<main>\n<p class=\"code\">")
	b.WriteString(strconv.Itoa(p.Status) + " " + http.StatusText(p.Status))
	b.WriteString("</p>\n<h1>" + head + "</h1>\n<p>Reason: " + html.EscapeString(p.Title) + ".</p>\n<p>" + advice + "</p>\n<p><a href=\"/\">Go to the start page</a></p>\n")
	if id != "" || p.Rule != "" {
		b.WriteString("<dl>\n")
		for _, row := range [][2]string{{"Incident", id}, {"Rule", p.Rule}, {"Detail", p.Detail}, {"What the operator can do", p.Fix}} {
			if row[1] != "" {
				b.WriteString("<dt>" + row[0] + "</dt><dd><code>" + html.EscapeString(row[1]) + "</code></dd>\n")
			}
		}
		b.WriteString("</dl>\n")
	}
	if p.Rule != "" {
		b.WriteString("<p>You see rule, detail and fix because you are at the machine itself; others see the incident number only. <code>hauberk explain " + html.EscapeString(id) + "</code> tells more.</p>\n")
	}
	b.WriteString("</main>\n</body>\n</html>\n")
	return b.String()
}
