package crawl

import (
	"io"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxPage bounds what is read of one page.
const maxPage = 4 << 20

// page is what one answer holds.
type page struct {
	scripts  []string   // inline, as a browser hashes them
	handlers []string   // "onclick=…" and javascript: addresses
	links    []*url.URL // to pages
	loads    map[string][]*url.URL
	base     *url.URL
	valid    bool // UTF-8: else a browser hashes other bytes than these
}

// parsePage reads HTML as a browser does, with scripts switched on.
func parsePage(r io.Reader, at *url.URL) (*page, error) {
	src, err := io.ReadAll(io.LimitReader(r, maxPage))
	if err != nil {
		return nil, err
	}
	root, err := html.Parse(strings.NewReader(string(src)))
	if err != nil {
		return nil, err
	}
	p := &page{loads: map[string][]*url.URL{}, base: at, valid: strings.ToValidUTF8(string(src), "") == string(src)}
	for n := range root.Descendants() {
		if n.DataAtom == atom.Base && n.Type == html.ElementNode {
			if u, err := at.Parse(attr(n, "href")); err == nil && attr(n, "href") != "" {
				p.base = u
			}
			break
		}
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			p.element(n)
		}
	}
	return p, nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if strings.EqualFold(a.Key, name) {
			return a.Val
		}
	}
	return ""
}

func (p *page) element(n *html.Node) {
	for _, a := range n.Attr {
		value := strings.TrimSpace(a.Val)
		switch {
		case len(a.Key) > 2 && strings.EqualFold(a.Key[:2], "on") && value != "":
			p.handlers = append(p.handlers, a.Key+"="+a.Val)
		case len(value) > 11 && strings.EqualFold(value[:11], "javascript:"):
			p.handlers = append(p.handlers, a.Key+"="+a.Val)
		case strings.EqualFold(a.Key, "srcdoc"):
			p.handlers = append(p.handlers, "srcdoc="+a.Val)
		}
	}
	switch n.Data {
	case "script":
		p.script(n)
	case "a", "area":
		if u := p.address(attr(n, "href")); u != nil {
			p.links = append(p.links, u)
		}
	case "link":
		p.linked(n)
	case "img", "input":
		p.load("img-src", attr(n, "src"))
		p.srcset(attr(n, "srcset"))
	case "audio", "video", "track":
		p.load("media-src", attr(n, "src"))
		p.load("img-src", attr(n, "poster"))
	case "source":
		p.srcset(attr(n, "srcset"))
		p.load("media-src", attr(n, "src"))
	case "iframe", "frame":
		if u := p.load("frame-src", attr(n, "src")); u != nil {
			p.links = append(p.links, u)
		}
	case "form":
		action := attr(n, "action")
		if action == "" {
			action = p.base.String()
		}
		p.load("form-action", action)
	}
	if action := attr(n, "formaction"); action != "" {
		p.load("form-action", action)
	}
}

func (p *page) script(n *html.Node) {
	if !runs(attr(n, "type"), attr(n, "language")) {
		return
	}
	src := attr(n, "src")
	if n.Namespace == "svg" && src == "" {
		src = attr(n, "href")
	}
	if src != "" {
		p.load("script-src", src)
		return
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	if b.Len() > 0 {
		p.scripts = append(p.scripts, b.String())
	}
}

// runs says that a script of this type is one for a policy: code, or what
// steers the loading of code. All else is data.
func runs(kind, language string) bool {
	kind = strings.ToLower(strings.TrimSpace(kind))
	if kind == "" && language != "" {
		kind = "text/" + strings.ToLower(language)
	}
	switch kind {
	case "", "module", "importmap", "speculationrules":
		return true
	}
	_, name, _ := strings.Cut(kind, "/")
	return strings.Contains(name, "javascript") || strings.Contains(name, "ecmascript") || name == "jscript" || name == "livescript"
}

func (p *page) linked(n *html.Node) {
	rels := strings.Fields(strings.ToLower(attr(n, "rel")))
	switch {
	case slices.Contains(rels, "stylesheet"):
		p.load("style-src", attr(n, "href"))
	case slices.Contains(rels, "icon") || slices.Contains(rels, "apple-touch-icon"):
		p.load("img-src", attr(n, "href"))
	case slices.Contains(rels, "modulepreload"):
		p.load("script-src", attr(n, "href"))
	}
}

func (p *page) srcset(list string) {
	for one := range strings.SplitSeq(list, ",") {
		if f := strings.Fields(one); len(f) > 0 {
			p.load("img-src", f[0])
		}
	}
}

func (p *page) load(directive, href string) *url.URL {
	u := p.address(href)
	if u != nil {
		p.loads[directive] = append(p.loads[directive], u)
	}
	return u
}

// address resolves a reference; nil where it is none of the web.
func (p *page) address(href string) *url.URL {
	href = strings.TrimSpace(href)
	if href == "" {
		return nil
	}
	u, err := p.base.Parse(href)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil
	}
	u.Fragment, u.RawFragment = "", ""
	return u
}
