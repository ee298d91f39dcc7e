package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var routingReady once

// routed starts an app whose answers name their handler, "admin" or "public".
func routed(t *testing.T, kind string) string {
	t.Helper()
	if kind == "net/http" {
		says := func(who string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Handler", who)
				io.WriteString(w, who+"\n")
			}
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/admin/", says("admin"))
		mux.HandleFunc("/admin", says("admin"))
		mux.HandleFunc("/", says("public"))
		return strings.TrimPrefix(app(t, mux.ServeHTTP), "http://")
	}
	dir, port := filepath.Join(root, "e2e", "routing"), freePort(t)
	routingReady.do(t, func() error { return npm(dir) })
	launch(t, dir, nil, "node", "app.cjs", kind, port).ready(t, "127.0.0.1:"+port)
	return "127.0.0.1:" + port
}

// spelling is one way to ask for what is below /admin.
type spelling struct {
	method, target, header string
	// plain says that no client does wrong to write so.
	plain bool
}

// spellings are all of them: each way to write the first segment, with each way
// to lead to it and to go on from it, by several methods.
func spellings() (all []spelling) {
	names := []string{"admin", "Admin", "ADMIN", "aDmIn", "%61dmin", "%41dmin", "admi%6E", "%61%64%6d%69%6e", "admin%20", "admin%00", "admin%2e", "admin.", "%2561dmin", "admin;x", "admin;x=1", "a\u017fmin", "adm\u0131n"}
	before := []string{"/", "//", "///", "/./", "/x/../", "/x/%2e%2e/", "/x/..;/", "/%2f", "/\\", "\\", "/;/", "/;x/", "/..", "/../", "/%2e/", "/public/..%2f", "http://localhost/", "https://localhost/", "HTTP://localhost//", "https://localhost/x/../"}
	after := []string{"", "/", "//", "/.", "/./", "/..;/", "/../admin", "/%2e%2e/admin", "%2f", "%2fusers", "%5cusers", "/users", "/Users/", "?", "?/public", "?x=/public", "#/public", ";/", "/;x", "/users;x=1/", "%3f", "%23", "/%2e", "\\users"}
	add := func(method, target, header string, plain bool) {
		all = append(all, spelling{method, target, header, plain})
	}
	for i, b := range before {
		for j, n := range names {
			for k, a := range after {
				// All with the plain name, all names with what is plain around them.
				if i > 0 && j > 0 && k > 0 {
					continue
				}
				plain := i == 0 && j < 4 && slices.Contains([]string{"", "/", "/users", "/Users/", "?", "?/public", "?x=/public"}, a)
				add("GET", b+n+a, "", plain)
			}
		}
	}
	for _, target := range []string{"/admin", "/admin/", "/ADMIN/users", "//admin", "/%61dmin"} {
		for _, method := range []string{"HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get", "X"} {
			add(method, target, "", target != "//admin" && slices.Contains([]string{"HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}, method) && target != "/%61dmin")
		}
		for _, header := range []string{"X-HTTP-Method-Override: GET", "X-HTTP-Method: GET", "X-Method-Override: GET", "X-Original-URL: /public", "X-Rewrite-URL: /public", "X-Forwarded-Prefix: /public", "X-Forwarded-Uri: /public"} {
			add("GET", target, header, false)
			add("POST", target, header, false)
		}
		add("POST", target+"?_method=GET", "", false)
	}
	for _, header := range []string{"X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-Forwarded-Path: /admin", "X-Forwarded-Prefix: /admin"} {
		add("GET", "/public", header, false)
	}
	return all
}

// handler sends a spelling and returns which handler of the app answered, or ""
// where none did.
func (s spelling) handler(conn net.Conn, cookie string) (string, error) {
	defer conn.Close()
	head := s.method + " " + s.target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nSec-Fetch-Site: same-origin\r\n"
	if s.method != "GET" && s.method != "HEAD" && s.method != "OPTIONS" {
		head += "Content-Length: 0\r\n"
	}
	for _, line := range []string{s.header, cookie} {
		if line != "" {
			head += line + "\r\n"
		}
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return "", err
	}
	a, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: s.method})
	if err != nil {
		return "", err
	}
	a.Body.Close()
	return a.Header.Get("X-Handler"), nil
}

// TestNoSpellingOfAPathPassesItsRule asks the bare app which spellings of /admin
// its handler answers. Behind the gate none of those reaches the handler for
// somebody without the role; for somebody with it the plain ones do.
func TestNoSpellingOfAPathPassesItsRule(t *testing.T) {
	for _, kind := range []string{"4", "5", "net/http"} {
		name := kind
		if kind != "net/http" {
			name = "Express " + kind
		}
		t.Run(name, func(t *testing.T) {
			upstream := routed(t, kind)
			g := administered(t, fmt.Sprintf(`
ratelimit: {allow: [127.0.0.0/8]}
sites: [{to: %q, access: [{on: /admin/, allow: "role:admin"}, {on: /, allow: everyone}], headers: compat}]
`, "http://"+upstream))
			g.account(t, "ada", "admin")
			g.account(t, "eve")
			cookie := func(name string) string {
				came, err := g.entered(t.Context(), g.client(1), name)
				if err != nil {
					t.Fatal(err)
				}
				for _, k := range came {
					if k.Name == "__Host-Http-hauberk" {
						return "Cookie: " + k.Name + "=" + k.Value
					}
				}
				t.Fatalf("%s got no session: %v", name, came)
				return ""
			}
			ada, eve := cookie("ada"), cookie("eve")
			asked, told, refused, passed, plain := 0, 0, 0, 0, 0
			for _, s := range spellings() {
				asked++
				// What the app cannot read it does not answer.
				if who, err := s.handler(dial(t, upstream), ""); err != nil || who != "admin" {
					if got, _ := s.handler(g.secure(t), eve); got == "admin" {
						t.Errorf("%s %q %s reaches the handler behind the gate alone", s.method, s.target, s.header)
					}
					// net/http tells letter cases apart, and so has less below /admin.
					if s.plain && (kind != "net/http" || strings.HasPrefix(s.target, "/admin")) {
						t.Errorf("%s %s: got %q %v of the bare app, want its handler", s.method, s.target, who, err)
					}
					continue
				}
				told++
				for _, c := range []string{"", eve} {
					if who, _ := s.handler(g.secure(t), c); who == "admin" {
						t.Errorf("%s %q %s passed without the role, cookie %t", s.method, s.target, s.header, c != "")
					} else {
						refused++
					}
				}
				who, err := s.handler(g.secure(t), ada)
				if who == "admin" {
					passed++
				}
				if s.plain {
					plain++
					if who != "admin" {
						t.Errorf("%s %q with the role: got %q %v, want the handler", s.method, s.target, who, err)
					}
				}
			}
			t.Logf("%d spellings, of which the bare app answers %d by the handler; %d requests without the role refused; with it %d pass, %d of them all %d plain ones", asked, told, refused, passed, plain, plain)
			if told < 50 {
				t.Errorf("the bare app answers %d only: too few to tell", told)
			}
		})
	}
}
