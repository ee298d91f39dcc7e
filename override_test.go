package hauberk_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hauberk.dev"
)

// overriding builds a chain for one app that takes methods from elsewhere,
// with a route of its own for DELETE on /doc, and DELETE forbidden on /fixed.
func overriding(t *testing.T, where string) (send func(method, target, kind, body string, header ...string) int, seen *string) {
	t.Helper()
	c, err := hauberk.Load(strings.NewReader(`
sites:
  - hosts: ["127.0.0.1"]
    access: app
` + where + `
    routes:
      - on: DELETE /doc
        harden: {methods: [GET, POST, DELETE]}
      - on: /fixed
        harden: {methods: [GET, POST]}
`))
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	chain, err := hauberk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	s := httptest.NewTLSServer(chain.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = string(b)
	})))
	t.Cleanup(s.Close)
	return func(method, target, kind, body string, header ...string) int {
		t.Helper()
		got = ""
		r, err := http.NewRequest(method, s.URL+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}, &got
}

func TestAnOverrideIsJudgedAsTheMethodThatItNames(t *testing.T) {
	const form, object, multipart = "application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=b"
	utf16 := "{\x00\"\x00_\x00m\x00"
	for _, tt := range []struct {
		name, where, method, target, kind, body string
		header                                  []string
		want                                    int
	}{
		{"nowhere: another route by header", "", "POST", "/doc", form, "a=1", []string{"X-HTTP-Method-Override", "DELETE"}, 400},
		{"nowhere: another route by the second header", "", "POST", "/doc", form, "a=1", []string{"X-HTTP-Method-Override", "POST", "X-Method-Override", "DELETE"}, 405},
		{"nowhere: another route by query", "", "POST", "/doc?_method=DELETE", form, "a=1", nil, 400},
		{"nowhere: encoded name", "", "POST", "/doc?%5fmethod=delete", form, "a=1", nil, 400},
		{"nowhere: no difference", "", "POST", "/free?_method=PUT", form, "a=1", nil, 200},
		{"nowhere: forbidden", "", "POST", "/fixed?_method=DELETE", form, "a=1", nil, 405},
		{"nowhere: a GET claims", "", "GET", "/fixed?_method=DELETE", "", "", nil, 405},
		{"nowhere: an ordinary GET", "", "GET", "/fixed?method=DELETE", "", "", nil, 200},
		{"query: believed", "    method_override: query", "POST", "/doc?_method=DELETE", form, "a=1", nil, 200},
		{"query: forbidden", "    method_override: query", "POST", "/fixed?_method=DELETE", form, "a=1", nil, 405},
		{"query: the header says otherwise", "    method_override: query", "POST", "/doc?_method=DELETE", form, "a=1", []string{"X-HTTP-Method-Override", "PUT"}, 400},
		{"header: believed", "    method_override: header", "POST", "/doc", form, "a=1", []string{"X-HTTP-Method-Override", "DELETE"}, 200},
		{"header: never on GET", "    method_override: header", "GET", "/fixed", "", "", []string{"X-HTTP-Method-Override", "DELETE"}, 405},
		{"body: believed", "    method_override: body", "POST", "/doc", form, "_method=DELETE&a=1", nil, 200},
		{"body: forbidden in a form", "    method_override: body", "POST", "/fixed", form, "a=1&_method=delete", nil, 405},
		{"body: forbidden in JSON", "    method_override: body", "POST", "/fixed", object, `{"_method":"DELETE"}`, nil, 405},
		{"body: behind an endless number", "    method_override: body", "POST", "/fixed", object, `{"a":1e999,"_method":"DELETE"}`, nil, 405},
		{"body: behind a byte order mark", "    method_override: body", "POST", "/fixed", object, "\ufeff" + `{"_method":"DELETE"}`, nil, 400},
		{"body: in another charset", "    method_override: body", "POST", "/fixed", object + "; charset=utf-16le", utf16, nil, 400},
		{"body: in brackets", "    method_override: body", "POST", "/fixed", form, "%5B_method%5D=DELETE", nil, 400},
		{"body: as a list", "    method_override: body", "POST", "/fixed", form, "_method[]=DELETE", nil, 400},
		{"body: as a list in JSON", "    method_override: body", "POST", "/fixed", object, `{"_method":["DELETE"]}`, nil, 400},
		{"body: multipart where DELETE is forbidden", "    method_override: body", "POST", "/fixed", multipart, "--b--", nil, 400},
		{"body: multipart where DELETE has a route", "    method_override: body", "POST", "/doc", multipart, "--b--", nil, 400},
		{"body: multipart elsewhere", "    method_override: body", "POST", "/free", multipart, "--b--", nil, 200},
		{"body: compressed where DELETE is forbidden", "    method_override: body", "POST", "/fixed", form, "x", []string{"Content-Encoding", "gzip"}, 400},
		{"body: too long to look where DELETE is forbidden", "    method_override: body", "POST", "/fixed", form, "a=" + strings.Repeat("x", 70000), nil, 400},
		{"body: an ordinary form", "    method_override: body", "POST", "/fixed", form, "a=1", nil, 200},
		{"body: an ordinary list", "    method_override: body", "POST", "/fixed", object, `[1,2]`, nil, 200},
		{"body: an ordinary object", "    method_override: body", "POST", "/fixed", object, `{"a":{"b":1}}`, nil, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			send, seen := overriding(t, tt.where)
			if got := send(tt.method, tt.target, tt.kind, tt.body, tt.header...); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if tt.want == 200 && *seen != tt.body {
				t.Errorf("the app read %d bytes, want the %d that were sent", len(*seen), len(tt.body))
			}
		})
	}
}

func TestARouteThatNoMethodReachesDoesNotStart(t *testing.T) {
	for on, want := range map[string]string{
		"FOO /b": "sites[0].routes[0].on: no request gets here: FOO is not in harden.methods",
		"PUT /b": "",
	} {
		c, err := hauberk.Load(strings.NewReader("sites:\n  - {hosts: [app.test], access: app, routes: [{on: " + on + "}]}\n"))
		if err != nil {
			t.Fatal(err)
		}
		c.Logger = slog.New(slog.DiscardHandler)
		_, err = hauberk.New(c, nil)
		if got := ""; err != nil && err.Error() != want || err == nil && want != got {
			t.Errorf("%s: got %v, want %q", on, err, want)
		}
	}
}
