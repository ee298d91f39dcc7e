package headers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hauberk.dev/guard"
	"hauberk.dev/guard/headers"
)

// page asks a room for one answer of app, as a browser asks for a page.
func page(t *testing.T, c headers.Config, request http.Header, app http.HandlerFunc) (http.Header, []guard.Event) {
	t.Helper()
	room, err := headers.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var events []guard.Event
	r := httptest.NewRequest("GET", "https://own.example/", nil)
	r.Header = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Dest": {"document"}}
	for name, values := range request {
		r.Header[name] = values
	}
	x := &guard.Exchange{Secure: true, Route: &guard.Route{}, Sink: func(e guard.Event) { events = append(events, e) }}
	w := httptest.NewRecorder()
	room.Principle().Wrap(room.Routed(app)).ServeHTTP(w, r.WithContext(guard.With(r.Context(), x)))
	return w.Header(), events
}

func uses(w http.ResponseWriter, r *http.Request) string {
	nonce := r.Header.Get("Hauberk-CSP-Nonce")
	w.Header().Set("Hauberk-CSP-Nonce", nonce)
	return nonce
}

func TestAPageThatUsesItsNonceGetsThePolicyThatNamesIt(t *testing.T) {
	var nonce string
	seen := map[string]bool{}
	for range 100 {
		h, _ := page(t, headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) {
			nonce = uses(w, r)
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<script nonce=" + nonce + ">"))
		})
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "script-src 'nonce-"+nonce+"' 'strict-dynamic';") || !strings.Contains(csp, "style-src 'self' 'nonce-"+nonce+"';") || strings.Contains(csp, "'nonce-R'") {
			t.Fatalf("got %q, want the nonce %q", csp, nonce)
		}
		if h.Get("Hauberk-Csp-Nonce") != "" || h.Get("Cache-Control") != "no-store" {
			t.Fatalf("got %v, want no word of the app about it, and nothing stored", h)
		}
		if seen[nonce] || len(nonce) < 22 {
			t.Fatalf("got the nonce %q", nonce)
		}
		seen[nonce] = true
	}
}

func TestTheNonceIsRelayedOnlyWhereTheAppUsedIt(t *testing.T) {
	for _, c := range []struct {
		name    string
		config  headers.Config
		request http.Header
		app     http.HandlerFunc
		relayed bool
	}{
		{"not used", headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) {}, false},
		{"used", headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) { uses(w, r) }, true},
		{"named in the app's own policy", headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "script-src 'nonce-"+r.Header.Get("Hauberk-CSP-Nonce")+"'")
		}, true},
		{"said twice", headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Hauberk-CSP-Nonce", uses(w, r))
		}, false},
		{"another's", headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Hauberk-CSP-Nonce", "AAAAAAAAAAAAAAAAAAAAAAAA")
		}, false},
		{"in a frame", headers.Config{}, http.Header{"Sec-Fetch-Dest": {"iframe"}}, func(w http.ResponseWriter, r *http.Request) { uses(w, r) }, true},
		{"an old browser", headers.Config{}, http.Header{"Sec-Fetch-Dest": nil}, func(w http.ResponseWriter, r *http.Request) { uses(w, r) }, true},
		{"a script's file", headers.Config{}, http.Header{"Sec-Fetch-Dest": {"script"}, "Accept": {"*/*"}}, func(w http.ResponseWriter, r *http.Request) { uses(w, r) }, false},
		{"in compat", headers.Config{Profile: "compat"}, nil, func(w http.ResponseWriter, r *http.Request) { uses(w, r) }, false},
		{"not modified", headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) { uses(w, r); w.WriteHeader(304) }, false},
	} {
		h, _ := page(t, c.config, c.request, c.app)
		csp := strings.Join(h.Values("Content-Security-Policy"), " | ")
		if strings.Contains(csp, "strict-dynamic") != c.relayed {
			t.Errorf("%s: got %q, want the nonce relayed: %v", c.name, csp, c.relayed)
		}
		if h.Get("Hauberk-Csp-Nonce") != "" {
			t.Errorf("%s: the client saw the app's word", c.name)
		}
	}
}

func TestA304NeverCarriesAPolicyWhereANonceWasHanded(t *testing.T) {
	h, _ := page(t, headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) })
	if got := h.Get("Content-Security-Policy"); got != "" {
		t.Errorf("got %q, which would replace that of the stored page", got)
	}
}

func TestConditionalHeadersGoUpForFilesOnly(t *testing.T) {
	for dest, want := range map[string]bool{"document": false, "iframe": false, "style": true, "script": true, "image": true} {
		request := http.Header{"Sec-Fetch-Dest": {dest}, "If-None-Match": {`"a"`}, "If-Modified-Since": {"Wed, 21 Oct 2026 07:28:00 GMT"}}
		page(t, headers.Config{}, request, func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("If-None-Match") != "" && r.Header.Get("If-Modified-Since") != ""; got != want {
				t.Errorf("%s: conditional headers went up: %v, want %v", dest, got, want)
			}
		})
	}
}

func TestAPageWithANonceIsSharedWithNobody(t *testing.T) {
	for app, want := range map[string]string{"": "no-store", "public, max-age=60": "no-store", "max-age=60": "no-store", "private, max-age=60": "private, max-age=60", "No-Store": "No-Store"} {
		h, _ := page(t, headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) {
			uses(w, r)
			if app != "" {
				w.Header().Set("Cache-Control", app)
			}
		})
		if got := h.Get("Cache-Control"); got != want {
			t.Errorf("app says %q: got %q, want %q", app, got, want)
		}
	}
}

func TestPagesReportAndOtherAnswersDoNot(t *testing.T) {
	serve := func(kind string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Type", kind) }
	}
	for _, c := range []struct {
		profile, kind string
		only          string // of Content-Security-Policy-Report-Only
		asks          bool
	}{
		{"strict", "text/html; charset=utf-8", "require-trusted-types-for 'script'", true},
		{"compat", "text/html", "default-src 'none'; script-src 'self'", true},
		{"api", "text/html", "", false},
		{"strict", "text/css", "", false},
		{"compat", "application/json", "", false},
	} {
		h, _ := page(t, headers.Config{Profile: c.profile}, nil, serve(c.kind))
		only := h.Get("Content-Security-Policy-Report-Only")
		if !strings.HasPrefix(only, c.only) || (c.only == "") != (only == "") {
			t.Errorf("%s %s: got %q, want %q", c.profile, c.kind, only, c.only)
		}
		if only != "" && (!strings.HasSuffix(only, "; report-to hauberk; report-uri /.hauberk/r") || strings.Contains(only, "upgrade-insecure")) {
			t.Errorf("%s: got %q", c.profile, only)
		}
		if got := h.Get("Reporting-Endpoints"); (got == `hauberk="/.hauberk/r"`) != c.asks {
			t.Errorf("%s %s: got Reporting-Endpoints %q", c.profile, c.kind, got)
		}
		if got := h.Get("Integrity-Policy-Report-Only"); (got != "") != (c.profile == "strict" && c.asks) {
			t.Errorf("%s %s: got Integrity-Policy-Report-Only %q", c.profile, c.kind, got)
		}
		csp := h.Get("Content-Security-Policy")
		if strings.Contains(csp, "report-uri /.hauberk/r") != (c.profile != "api") {
			t.Errorf("%s: got %q", c.profile, csp)
		}
	}
	h, _ := page(t, headers.Config{NoReports: true}, nil, serve("text/html"))
	for name, values := range h {
		if strings.Contains(strings.ToLower(name+strings.Join(values, "")), "report") {
			t.Errorf("no_reports: got %s: %q", name, values)
		}
	}
	h, _ = page(t, headers.Config{}, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Reporting-Endpoints", `own="/r"`)
		w.Header().Set("Content-Security-Policy-Report-Only", "img-src 'self'")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
	})
	if len(h.Values("Reporting-Endpoints")) != 2 || len(h.Values("Content-Security-Policy-Report-Only")) != 2 || h.Get("Cross-Origin-Embedder-Policy-Report-Only") != "" {
		t.Errorf("got %v, want the app's own kept and ours beside it", h)
	}
}

func TestNoOtherSignatureOfTheAppReplacesTheNonceOrTheLock(t *testing.T) {
	l := example()
	text, err := l.Text()
	if err != nil {
		t.Fatal(err)
	}
	const rest = "default-src 'none'; worker-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; upgrade-insecure-requests; script-src "
	for _, c := range []struct {
		name   string
		config headers.Config
		script string
		alone  bool
	}{
		{"strict, this nonce", headers.Config{}, "'nonce-%' 'strict-dynamic'", true},
		{"strict, a fixed nonce beside it", headers.Config{}, "'nonce-%' 'nonce-fixed' 'strict-dynamic'", false},
		{"learned, a hash of the lock", headers.Config{Profile: "learned", Lock: write(t, text, 0o600)}, "'" + headers.HashScript(script) + "'", true},
		{"learned, another hash", headers.Config{Profile: "learned", Lock: write(t, text, 0o600)}, "'sha256-abc'", false},
		{"learned, a nonce", headers.Config{Profile: "learned", Lock: write(t, text, 0o600)}, "'nonce-abc' 'unsafe-inline'", false},
	} {
		h, _ := page(t, c.config, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", rest+strings.ReplaceAll(c.script, "%", r.Header.Get("Hauberk-CSP-Nonce")))
		})
		if got := h.Values("Content-Security-Policy"); (len(got) == 1) != c.alone {
			t.Errorf("%s: got %q, want the app's alone: %v", c.name, got, c.alone)
		}
	}
}
