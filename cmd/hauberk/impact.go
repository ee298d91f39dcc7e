package main

import (
	"cmp"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/monitor"
)

// impact is what one rule would have done to requests of one kind, and the
// narrowest exception that covers them.
type impact struct {
	rule, route, on, field string
	requests               int
	clients                map[string]bool
	first, last            time.Time
	detail                 string   // of the first of them
	because                []string // of the exceptions that excused them
}

// where names the requests for people.
func (i *impact) where() string {
	if i.route != "" {
		return "route " + i.route
	}
	return cmp.Or(i.on, "somewhere")
}

func (i *impact) clientText() string {
	if len(i.clients) >= maxClients {
		return "many clients"
	}
	return count(len(i.clients), "client")
}

const (
	// maxClients bounds what is remembered of each kind.
	maxClients = 10_000
	// maxKinds bounds the kinds: whoever attacks chooses the paths.
	maxKinds = 10_000
	// manyPaths is from how many paths on, which differ in names or numbers of
	// things alone, one pattern stands for all of them.
	manyPaths = 2
)

// impactOf gathers the events that exceptions excused, the most frequent
// first. Where the requests of one route differ in ids alone, as /users/17 and
// /users/42, they are one kind.
func impactOf(entries iter.Seq[monitor.Entry]) []impact {
	kinds := map[string]*impact{}
	for e := range entries {
		if e.Verdict != guard.Excused.String() {
			continue
		}
		on := pattern(e)
		key := strings.Join([]string{e.Rule, e.Route, on, e.Field}, "\x00")
		i := kinds[key]
		if i == nil {
			if len(kinds) >= maxKinds {
				continue
			}
			i = &impact{rule: e.Rule, route: e.Route, on: on, field: e.Field, clients: map[string]bool{}, first: e.Time}
			kinds[key] = i
		}
		i.add(e)
	}
	all := generalised(kinds)
	slices.SortFunc(all, func(a, b impact) int {
		return cmp.Or(cmp.Compare(b.requests, a.requests), cmp.Compare(a.rule, b.rule), cmp.Compare(a.on, b.on), cmp.Compare(a.field, b.field))
	})
	return all
}

func (i *impact) add(e monitor.Entry) {
	i.requests += max(e.Folded, 1)
	if len(i.clients) < maxClients && e.Client != "" {
		i.clients[e.Client] = true
	}
	i.last = e.Time
	detail, why := reasonOf(e.Detail)
	i.detail = cmp.Or(i.detail, detail)
	i.excusedBy(why)
}

func (i *impact) excusedBy(why string) {
	if why != "" && len(i.because) < 3 && !slices.Contains(i.because, why) {
		i.because = append(i.because, why)
	}
}

// reasonOf takes the detail of an excused event apart: why it would have been
// refused, and why it was not.
func reasonOf(detail string) (reason, because string) {
	const mark = "exception: "
	if why, ok := strings.CutPrefix(detail, mark); ok {
		return "", why
	}
	at := strings.LastIndex(detail, "("+mark)
	if at < 0 {
		return detail, ""
	}
	return strings.TrimSpace(detail[:at]), strings.TrimSuffix(detail[at+1+len(mark):], ")")
}

// idSegment is a segment of a path that names a thing and no kind of things: a
// number, or letters and digits mixed as in UUIDs, hashes and ULIDs.
var idSegment = regexp.MustCompile(`^(?:[0-9]+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-f]{16,}|[0-9A-HJKMNP-TV-Z]{26})$`)

// template puts {id} in the place of ids. What is no id stays as it is: a
// pattern made from what requests have in common would be as wide as whoever
// sends them likes.
func template(on string) string {
	method, path, ok := strings.Cut(on, " ")
	if !ok {
		return on
	}
	segments := strings.Split(path, "/")
	ids := 0
	for n, s := range segments {
		if idSegment.MatchString(s) {
			ids++
			segments[n] = "{id" + strings.Repeat("_", ids-1) + "}"
		}
	}
	return method + " " + strings.Join(segments, "/")
}

// generalised joins the kinds that differ in ids alone.
func generalised(kinds map[string]*impact) []impact {
	alike := map[string][]*impact{}
	for _, key := range slices.Sorted(maps.Keys(kinds)) {
		i := kinds[key]
		group := strings.Join([]string{i.rule, i.route, template(i.on), i.field}, "\x00")
		alike[group] = append(alike[group], i)
	}
	var all []impact
	for _, group := range alike {
		if len(group) < manyPaths {
			all = append(all, *group[0])
			continue
		}
		whole := *group[0]
		whole.on = template(whole.on)
		for _, i := range group[1:] {
			whole.join(i)
		}
		all = append(all, whole)
	}
	return all
}

func (i *impact) join(o *impact) {
	i.requests += o.requests
	maps.Copy(i.clients, o.clients)
	if o.first.Before(i.first) {
		i.first = o.first
	}
	if o.last.After(i.last) {
		i.last = o.last
	}
	for _, why := range o.because {
		i.excusedBy(why)
	}
}
