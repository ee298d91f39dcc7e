package guard

import (
	"html"
	"net/http"
	"strconv"
	"strings"
)

// NewPage makes a page of a room that looks like the hall's own. The heading
// is text, the body HTML; neither may hold what a client sent but escaped.
func NewPage(status int, heading, body, incident string) *Page {
	code := strconv.Itoa(status) + " " + http.StatusText(status)
	var b strings.Builder
	b.WriteString("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n<title>")
	b.WriteString(html.EscapeString(heading) + "</title>\n<style>" + pageStyle + "</style>\n</head>\n<body>\n<main>\n<p class=\"code\">")
	b.WriteString(html.EscapeString(code) + "</p>\n<h1>" + html.EscapeString(heading) + "</h1>\n" + body)
	if incident != "" {
		b.WriteString("<dl>\n<dt>Incident</dt><dd><code>" + html.EscapeString(incident) + "</code></dd>\n</dl>\n")
	}
	b.WriteString("</main>\n</body>\n</html>\n")
	return &Page{HTML: b.String(), CSP: PageCSP}
}
