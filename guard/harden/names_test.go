package harden_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"hauberk.dev/guard/harden"
)

func TestNamesThatOnlyAProxyMaySetAreDropped(t *testing.T) {
	h := open(t, 1, harden.Config{IdentityHeaders: []string{"x-employee"}}, nil)
	var fields []string
	for _, name := range strings.Fields(`X-Forwarded-For x-forwarded-HOST X-Forwarded-Proto X-Forwarded-Prefix Forwarded X-Real-IP
		X-Client-IP True-Client-IP CF-Connecting-IP Fastly-Client-IP X-Cluster-Client-IP X-Original-URL X-Rewrite-URL X-Original-Host
		X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Remote-User REMOTE-USER X-User X-User-Id X-Auth-Request-User
		X-Auth-User X-WebAuth-User X-Authenticated-Userid X-SSL-Client-S-DN X-Client-Cert X-Client-Verify Hauberk-Session
		X-HTTP-Host-Override Proxy Proxy-Connection Keep-Alive X-Employee X-Middleware-Subrequest Client-Cert`) {
		fields = append(fields, name+": attack")
	}
	fields = append(fields, "X-Auth-Token: kept", "X-Custom: kept", "X-User-Agent: kept", "Authorization: kept", "X-Request-Id: kept", "")
	res := send(t, h, "GET / HTTP/1.1\r\nHost: app.test\r\n"+strings.Join(fields, "\r\n")+"\r\n")
	if res.StatusCode != 200 {
		t.Fatalf("got %d, want 200", res.StatusCode)
	}
	got := slices.Sorted(maps.Keys(h.saw().Header))
	want := []string{"Authorization", "X-Auth-Token", "X-Custom", "X-Request-Id", "X-User-Agent"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !slices.Contains(h.told(), "harden.identity-header") {
		t.Errorf("got events %v, want harden.identity-header", h.told())
	}
}

func TestAnAliasOfADecisiveNameIsRefused(t *testing.T) {
	for _, name := range strings.Fields(`X_Forwarded_For X-Forwarded_For x.forwarded.for X_FORWARDED_HOST X-Real_IP X.Real.IP
		X_User_Id X-User_id Remote_User Content_Length content.length Transfer_Encoding Transfer.Encoding X_Auth_User
		Hauberk_Session X-HTTP_Method-Override Sec_Fetch-Site X_Original.URL Content_Type x_request_id`) {
		h := open(t, 1, harden.Config{}, nil)
		h.want(t, send(t, h, get("/", name+": a")), 400, "harden.header-alias")
	}
}

func TestOtherUnderscoresAreDroppedUnlessListed(t *testing.T) {
	h := open(t, 1, harden.Config{UnderscoreHeaders: []string{"api_key"}}, nil)
	send(t, h, get("/", "Api_key: 1", "trace_id: 2", "X.Dotted: 3"))
	got := h.saw().Header
	if got.Get("Api_key") != "1" || got.Get("Trace_id") != "" || got.Get("X.dotted") != "3" {
		t.Errorf("got %v, want Api_key and X.dotted alone", got)
	}
	if !slices.Contains(h.told(), "harden.underscore-header") {
		t.Errorf("got events %v, want harden.underscore-header", h.told())
	}
}

func TestNamesOfJavaScriptsObjectsAreRefused(t *testing.T) {
	for _, name := range []string{"__proto__", "__PROTO__", "constructor", "prototype", "__defineGetter__"} {
		h := open(t, 1, harden.Config{}, nil)
		rule := "harden.header-name"
		if strings.EqualFold(name, "__proto__") {
			rule = "harden.framing" // the wire check knows this one
		}
		h.want(t, send(t, h, get("/", name+": a")), 400, rule)
	}
}

func TestOnlyWebSocketMayUpgrade(t *testing.T) {
	for _, row := range []struct {
		title, fields string
		kept          bool
	}{
		{"h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n", false},
		{"websocket", "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n", true},
		{"websocket and another", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", false},
		{"websocket without the option", "Upgrade: websocket\r\n", false},
	} {
		t.Run(row.title, func(t *testing.T) {
			h := open(t, 1, harden.Config{}, nil)
			res := send(t, h, "GET / HTTP/1.1\r\nHost: app.test\r\n"+row.fields+"\r\n")
			if res.StatusCode != 200 {
				t.Fatalf("got %d, want 200", res.StatusCode)
			}
			got := h.saw().Header
			if kept := got.Get("Upgrade") != "" && got.Get("Connection") == "Upgrade"; kept != row.kept || got.Get("Http2-Settings") != "" {
				t.Errorf("got %v, want the upgrade kept: %v", got, row.kept)
			}
			if noted := slices.Contains(h.told(), "harden.upgrade"); noted == row.kept {
				t.Errorf("got events %v", h.told())
			}
		})
	}
}

func TestAFieldThatConnectionNamesIsGoneForAll(t *testing.T) {
	h := open(t, 1, harden.Config{}, nil)
	send(t, h, "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close, Authorization, X-Hop\r\nAuthorization: a\r\nX-Hop: b\r\nX-Kept: c\r\n\r\n")
	got := h.saw().Header
	if got.Get("Authorization") != "" || got.Get("X-Hop") != "" || got.Get("X-Kept") != "c" {
		t.Errorf("got %v, want X-Kept alone", got)
	}
	h.want(t, send(t, h, "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close, Sec-Fetch-Site\r\nSec-Fetch-Site: cross-site\r\n\r\n"), 400, "harden.framing")
}

func TestTrailersCannotBringWhatHeadersMayNot(t *testing.T) {
	h := open(t, 1, harden.Config{}, nil)
	res := send(t, h, "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nTrailer: X-Sum, X-User-Id\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"1\r\na\r\n0\r\nX-Sum: 1\r\nX-User-Id: 2\r\nX-Auth-User: 3\r\n\r\n")
	if res.StatusCode != 200 {
		t.Fatalf("got %d, want 200", res.StatusCode)
	}
	got := h.saw().Trailer
	if got.Get("X-Sum") != "1" || len(got) != 1 {
		t.Errorf("got trailers %v, want X-Sum alone", got)
	}
	h.want(t, send(t, h, "POST / HTTP/1.1\r\nHost: app.test\r\nTrailer: X_User_Id\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, "harden.header-alias")
}

func TestMethodsThatAreNotListedGet405(t *testing.T) {
	for _, row := range []struct {
		method string
		status int
	}{{"GET", 200}, {"HEAD", 200}, {"PATCH", 200}, {"TRACE", 405}, {"TRACK", 405}, {"FOO!B", 405}, {"get", 405}, {"PROPFIND", 405}} {
		h := open(t, 1, harden.Config{}, nil)
		res := send(t, h, strings.Replace(get("/"), "GET", row.method, 1))
		if row.status == 405 && res.Header.Get("Allow") != "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" {
			t.Errorf("%s: got Allow %q", row.method, res.Header.Get("Allow"))
		}
		if row.method == "HEAD" {
			continue
		}
		h.want(t, res, row.status, "")
	}
	h := open(t, 1, harden.Config{Methods: []string{"GET", "PROPFIND"}}, nil)
	h.want(t, send(t, h, strings.Replace(get("/"), "GET", "PROPFIND", 1)), 200, "")
	h.want(t, send(t, h, strings.Replace(get("/"), "GET", "POST", 1)), 405, "harden.method")
}

func TestAConnectRequestNeverOpensATunnel(t *testing.T) {
	h := open(t, 1, harden.Config{}, nil)
	res := send(t, h, "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n")
	if res.StatusCode != 405 && res.StatusCode != 400 || h.saw() != nil {
		t.Errorf("got %d, want a refusal", res.StatusCode)
	}
}

func TestDotfilesAndBackupsAreNotServed(t *testing.T) {
	c := harden.Config{Served: []string{"/docs/", "/dl/*.sql", "/.env.example"}}
	for _, row := range []struct {
		path   string
		status int
	}{
		{"/.env", 404}, {"/.git/HEAD", 404}, {"/a/.svn/entries", 404}, {"/.ENV;x", 404}, {"/a%2F.env", 404}, {"/%2eenv", 404},
		{"/.well-known/security.txt", 200}, {"/.well-known/.env", 404}, {"/a/.well-known/x", 404},
		{"/index.php~", 404}, {"/db.sql", 404}, {"/db.SQL/", 404}, {"/site.tar.old", 404}, {"/x.bak;v=1", 404}, {"/%23notes%23", 404},
		{"/docs/a.bak", 200}, {"/dl/x.sql", 200}, {"/dl/a/x.sql", 404}, {"/.env.example", 200},
		{"/", 200}, {"/app.js", 200}, {"/app.js.map", 200}, {"/v1.2/x", 200}, {"/old", 200}, {"/backup", 200}, {"/~user/", 200}, {"/metrics", 200},
		{"/.hauberk/x", 404}, {"/.hauberk", 404}, {"/.Hauberk/x", 404}, {"/.hauberk/report", 200},
	} {
		h := open(t, 1, c, nil)
		h.room.Own("/.hauberk/report")
		res := send(t, h, get(row.path))
		if res.StatusCode != row.status {
			t.Errorf("%s: got %d, want %d", row.path, res.StatusCode, row.status)
		}
	}
}

func TestWhatShowsTheInsideIsToldAndPasses(t *testing.T) {
	for _, row := range []struct {
		title, kind, body string
		told              bool
	}{
		{"source map", "application/json", `{"version":3,"file":"a.js","sources":["a.ts"],"mappings":"AAAA"}`, true},
		{"metrics", "text/plain; version=0.0.4", "# HELP go_goroutines Number.\n# TYPE go_goroutines gauge\n", true},
		{"profiler", "text/html; charset=utf-8", "<html>\n<head>\n<title>/debug/pprof/</title>", true},
		{"listing", "text/html", "<html><head><title>Index of /files</title>", true},
		{"page", "text/html", "<!doctype html><title>Hello</title>", false},
		{"data", "application/json", `{"version":3,"name":"x"}`, false},
	} {
		t.Run(row.title, func(t *testing.T) {
			h := open(t, 1, harden.Config{}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", row.kind)
				w.Write([]byte(row.body))
			})
			for range 2 {
				h.want(t, send(t, h, get("/x")), 200, "")
			}
			if n := len(h.told()); n != map[bool]int{true: 1}[row.told] {
				t.Errorf("got events %v, want one: %v", h.told(), row.told)
			}
		})
	}
}
