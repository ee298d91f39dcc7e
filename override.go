package hauberk

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/harden"
)

// overrideHeaders are the fields from which the usual packages take another
// method.
var overrideHeaders = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// maxOverrideBody bounds the part of a form in which _method is looked for.
const maxOverrideBody = 64 << 10

// override decides which method the rooms decide on. A configured override is
// believed on POST alone, and both methods must be allowed. An unconfigured
// one is never believed, but a decision that it would change is a refusal:
// the app may know the package that we were not told of.
func (c *Chain) override(st *site, x *guard.Exchange, r *http.Request) error {
	x.Method = r.Method
	header, query := headerOverride(r), queryOverride(r)
	if header != "" && query != "" && header != query {
		return harden.Override(header + " and " + query)
	}
	claimed := header + query
	if header == query {
		claimed = header
	}
	named := ""
	switch st.override {
	case "header":
		named = header
	case "query":
		named = query
	case "body":
		var err error
		if named, err = st.bodyOverride(r, x.Path); err != nil {
			return err
		}
	}
	if named != "" && r.Method == http.MethodPost {
		x.Method, x.Claimed = named, r.Method
		return nil
	}
	if claimed != "" && claimed != r.Method {
		x.Claimed = claimed
	}
	return nil
}

// decisive returns the methods that must lead to one route. Of a configured
// override that is the named method alone; the request's own must only be
// allowed.
func decisive(x *guard.Exchange, r *http.Request) []string {
	if x.Method != r.Method {
		return []string{x.Method}
	}
	return x.Methods(r)
}

func headerOverride(r *http.Request) string {
	claimed := ""
	for _, name := range overrideHeaders {
		v, ok := r.Header[name]
		if !ok {
			continue
		}
		one := strings.ToUpper(strings.TrimSpace(strings.Join(v, ",")))
		if claimed != "" && claimed != one {
			return claimed + "," + one // no method at all: nobody knows which is believed
		}
		claimed = one
	}
	return claimed
}

func queryOverride(r *http.Request) string {
	q := r.URL.RawQuery
	if !strings.Contains(q, "_method") && !strings.Contains(q, "%") {
		return ""
	}
	return methodIn(q)
}

// methodIn finds _method among form-encoded pairs; an app may read the first
// or the last of several, so several are joined and match nothing.
func methodIn(pairs string) string {
	var found []string
	for pair := range strings.SplitSeq(pairs, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if k, err := url.QueryUnescape(key); err != nil || k != "_method" {
			continue
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			v = value
		}
		found = append(found, strings.ToUpper(strings.TrimSpace(v)))
	}
	return strings.Join(found, ",")
}

// bodyOverride reads the head of a form or a JSON object and puts it back. In
// any other body nobody can see a method, so where the methods of the path
// lead to different routes it is refused.
func (st *site) bodyOverride(r *http.Request, path string) (string, error) {
	if r.Method != http.MethodPost || r.Body == nil || r.Body == http.NoBody {
		return "", nil
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form := kind == "application/x-www-form-urlencoded"
	if !form && kind != "application/json" && !strings.HasSuffix(kind, "+json") || r.Header.Get("Content-Encoding") != "" {
		if st.match.split(path) {
			return "", harden.Override("a body in which no method can be read")
		}
		return "", nil
	}
	head, err := io.ReadAll(io.LimitReader(r.Body, maxOverrideBody+1))
	if err != nil {
		return "", err
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
	switch {
	case len(head) > maxOverrideBody && st.match.split(path):
		return "", harden.Override("a body that is too long to look for one").WithStatus(http.StatusRequestEntityTooLarge)
	case form:
		return methodIn(string(head)), nil
	}
	return methodInJSON(head), nil
}

// methodInJSON finds _method in an object, the last one as parsers do.
func methodInJSON(body []byte) string {
	var object map[string]any
	if json.Unmarshal(body, &object) != nil {
		return ""
	}
	m, _ := object["_method"].(string)
	return strings.ToUpper(strings.TrimSpace(m))
}
