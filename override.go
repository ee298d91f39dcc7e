package hauberk

import (
	"bytes"
	"encoding/json"
	"errors"
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
		x.Claimed = header + "," + query // no method: should this be excused, no room takes it for one
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
		if named, err = c.bodyOverride(st, x, r); err != nil {
			return err
		}
	}
	if named != "" && r.Method == http.MethodPost {
		if claimed != "" && claimed != named {
			x.Claimed = named + "," + claimed
			return harden.Override(named + " and " + claimed)
		}
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
		// A parser of nested forms reads "_method[]" as a list, whose first is
		// believed, and "[_method]" as the name itself.
		k, err := url.QueryUnescape(key)
		if err != nil || k != "_method" && !strings.HasPrefix(k, "_method[") && !strings.HasPrefix(k, "[_method]") {
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

// errUnreadable says that a body may name a method in a way that an app's
// parser sees and this reader does not.
var errUnreadable = errors.New("a body in which no method can be read")

// bodyOverride reads the head of a form or a JSON object and puts it back.
// Where it cannot read what an app might, the request is refused if any other
// method would change the decision; text that is meant to be read and cannot
// be is always refused.
func (c *Chain) bodyOverride(st *site, x *guard.Exchange, r *http.Request) (string, error) {
	if r.Method != http.MethodPost || r.Body == nil || r.Body == http.NoBody {
		return "", nil
	}
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form := kind == "application/x-www-form-urlencoded"
	readable := form || kind == "application/json" || strings.HasSuffix(kind, "+json")
	if !readable || r.Header.Get("Content-Encoding") != "" {
		return "", c.opaque(st, x)
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", harden.Override(errUnreadable.Error())
	}
	head, err := io.ReadAll(io.LimitReader(r.Body, maxOverrideBody+1))
	if err != nil {
		return "", err
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
	if len(head) > maxOverrideBody {
		return "", c.opaque(st, x)
	}
	var named string
	if form {
		named, err = methodInForm(string(head))
	} else {
		named, err = methodInJSON(head)
	}
	if err != nil {
		return "", harden.Override(err.Error())
	}
	return named, nil
}

// opaque refuses a body that nobody can look into where another method of the
// path leads to another route, or may not pass at all.
func (c *Chain) opaque(st *site, x *guard.Exchange) error {
	if st.match.split(x.Path) {
		return harden.Override(errUnreadable.Error())
	}
	at := *x
	at.Route = st.base
	if n, _, _ := st.match.match(http.MethodPost, x.Path); n > 0 {
		at.Route = st.routes[n-1]
	}
	for _, m := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if !c.harden.Allows(&at, m) {
			return harden.Override(errUnreadable.Error())
		}
	}
	return nil
}

// methodInForm finds _method in a form, also where a parser makes lists and
// objects of brackets.
func methodInForm(pairs string) (string, error) {
	for pair := range strings.SplitSeq(pairs, "&") {
		key, _, _ := strings.Cut(pair, "=")
		k, err := url.QueryUnescape(key)
		if err != nil {
			k = key
		}
		if k != "_method" && strings.Contains(k, "_method") {
			return "", errUnreadable
		}
	}
	return methodIn(pairs), nil
}

// methodInJSON finds _method in an object, the last one as parsers do. A body
// that some parser may read and this one does not is an error.
func methodInJSON(body []byte) (string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		var list []json.RawMessage
		if json.Unmarshal(body, &list) == nil {
			return "", nil // a list has no keys
		}
		return "", errUnreadable
	}
	raw, found := object["_method"]
	if !found {
		return "", nil
	}
	var m string
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", errUnreadable
	}
	return strings.ToUpper(strings.TrimSpace(m)), nil
}
