package crawl

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Why a script is not pinned.
const (
	whyVaries    = "differs from one request to the next: serve it as a file and hand it the data in an attribute or in JSON"
	whyQuery     = "is served with a query only, which whoever makes the link chooses"
	whyReflected = "repeats a part of its own address"
	whyMade      = "was made by another script, not served"
	whySecret    = "repeats a cookie, which is left out here: hand it over in another way"
	whyHandler   = "no hash allows it: use addEventListener in a script"
)

// list collects scripts by their text.
type list struct {
	all []Script
	at  map[string]int
}

func (l *list) add(text, route, why string) {
	i, ok := l.at[text]
	if !ok {
		if l.at == nil {
			l.at = map[string]int{}
		}
		i = len(l.all)
		l.at[text] = i
		l.all = append(l.all, Script{Text: text, Why: why})
	}
	if !slices.Contains(l.all[i].Routes, route) {
		l.all[i].Routes = append(l.all[i].Routes, route)
	}
}

// result sorts the scripts into those that are the site's and the rest.
func (w *walk) result() *Result {
	var pinned, unpinned list
	for _, v := range w.visited {
		for _, text := range v.bare.scripts {
			if v.shared[text] && !v.query && !reflected(v.at, text) && w.masked(text) == text {
				pinned.add(text, v.route, "")
			}
		}
	}
	isPinned := func(text string) bool { _, ok := pinned.at[text]; return ok }
	for _, v := range w.visited {
		for _, text := range v.bare.scripts {
			if masked := w.masked(text); masked != text {
				unpinned.add(masked, v.route, whySecret)
			} else if !isPinned(text) {
				unpinned.add(text, v.route, v.why(text))
			}
		}
		for _, text := range v.made {
			if !isPinned(text) {
				unpinned.add(w.masked(text), v.route, whyMade)
			}
		}
		for _, text := range v.bare.handlers {
			unpinned.add(w.masked(text), v.route, whyHandler)
		}
	}
	r := &Result{Pinned: pinned.all, Unpinned: unpinned.all, Sources: map[string][]string{}, Notes: w.notes}
	for _, v := range w.visited {
		r.Pages = append(r.Pages, v.at.RequestURI())
	}
	for directive, names := range w.sources {
		r.Sources[directive] = slices.Sorted(maps.Keys(names))
	}
	return r
}

// minSecret is the shortest value of a cookie that is taken for a secret:
// "dark" and "1" stand in many scripts.
const minSecret = 6

// masked returns text without the values of the cookies: a lock is a file that
// many read.
func (w *walk) masked(text string) string {
	for _, c := range w.Cookies {
		if len(c.Value) < minSecret {
			continue
		}
		text = strings.ReplaceAll(text, c.Value, "…")
		if plain, err := url.QueryUnescape(c.Value); err == nil && len(plain) >= minSecret {
			text = strings.ReplaceAll(text, plain, "…")
		}
	}
	return text
}

func (v *visit) why(text string) string {
	switch {
	case reflected(v.at, text):
		return whyReflected
	case v.query && v.shared[text]:
		return whyQuery
	}
	return whyVaries
}

// reflected says that an address holds the script that it serves: a link that
// somebody left on the site may carry one.
func reflected(at *url.URL, text string) bool {
	text = strings.TrimSpace(text)
	query, _ := url.QueryUnescape(at.RawQuery)
	return text != "" && (strings.Contains(at.Path, text) || strings.Contains(query, text))
}
