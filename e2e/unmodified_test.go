package e2e_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

// TestUnmodified holds that an app behind Hauberk is the app: the same
// assertions pass bare and through the gate in both versions of HTTP.
func TestUnmodified(t *testing.T) {
	cases := []struct {
		name string
		test func(*testing.T, door)
	}{
		{"pages and 304", pages},
		{"HEAD has the header of GET and no body", head},
		{"log-in, cookies, log-out", cookies},
		{"forms", forms},
		{"the JSON API and its errors", api},
		{"uploads and attachments", uploadsTest},
		{"ranges and validators", ranges},
		{"compressed text", compressed},
		{"a large body", large},
		{"redirects", redirects},
		{"early hints", hints},
		{"100-continue and its refusal", continues},
		{"trailers both ways", trailers},
		{"an echo that answers while it reads", echo},
		{"server-sent events", sse},
		{"WebSocket", webSocket},
		{"the request as the app sees it", seen},
	}
	through := func(d door) {
		t.Run(d.name, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) { c.test(t, d) })
			}
		})
	}
	app := notebook(t)
	through(bareDoor(app))
	g := serve(t, app)
	through(g.door(1))
	through(g.door(2))
}

func pages(t *testing.T, d door) {
	for path, text := range map[string]string{
		"/":                 "A shared notebook",
		"/notes":            "On engines",
		"/notes/3":          "Tides &amp; &lt;em&gt;moons&lt;/em&gt;",
		"/search?q=moth":    "A moth",
		"/search?q=%C3%A9a": "Notes with “éa”",
		"/login":            `name="password"`,
		"/style.css":        "color-scheme",
	} {
		a := d.get(t, path).wants(t, http.StatusOK).contains(t, text)
		tag := a.Header.Get("ETag")
		if tag == "" {
			t.Errorf("GET %s: no ETag", path)
			continue
		}
		again := d.get(t, path, "If-None-Match", tag).wants(t, http.StatusNotModified).has(t, "ETag", tag)
		if again.body != "" {
			t.Errorf("GET %s: a 304 with a body of %d bytes", path, len(again.body))
		}
	}
	d.get(t, "/nowhere", "Accept", "text/html").wants(t, http.StatusNotFound).
		has(t, "Content-Type", "text/html; charset=utf-8").contains(t, "Nothing is kept under")
}

func head(t *testing.T, d door) {
	for _, path := range []string{"/", "/files/tides.csv", "/api/notes", "/bytes/100000"} {
		get := d.get(t, path).wants(t, http.StatusOK)
		head := d.do(t, http.MethodHead, path, "").wants(t, http.StatusOK)
		if head.body != "" {
			t.Errorf("HEAD %s: a body of %d bytes", path, len(head.body))
		}
		for _, name := range []string{"Content-Length", "Content-Type", "Etag", "Last-Modified", "Accept-Ranges"} {
			head.has(t, name, get.Header.Get(name))
		}
	}
}

// login returns the Cookie header of a person who has logged in.
func login(t testing.TB, d door) string {
	t.Helper()
	form := url.Values{"name": {"ada"}, "password": {"analytical engine"}}.Encode()
	a := d.do(t, http.MethodPost, "/login", form, "Content-Type", "application/x-www-form-urlencoded").
		wants(t, http.StatusSeeOther).has(t, "Location", "/notes")
	var pairs []string
	for _, c := range a.Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

func cookies(t *testing.T, d door) {
	form := "Content-Type"
	urlencoded := "application/x-www-form-urlencoded"
	d.do(t, http.MethodPost, "/login", "name=ada&password=wrong", form, urlencoded).
		wants(t, http.StatusUnauthorized).contains(t, "do not belong together")

	a := d.do(t, http.MethodPost, "/login", "name=ada&password=analytical+engine", form, urlencoded).
		wants(t, http.StatusSeeOther)
	got := a.Cookies()
	want := []string{"session", "session.sig"}
	if !d.bare {
		want = []string{vaultCookie} // in which the app's own stay behind
	}
	if len(got) != len(want) || got[0].Name != want[0] || got[len(got)-1].Name != want[len(want)-1] {
		t.Fatalf("cookies: got %v, want %v", a.Header["Set-Cookie"], want)
	}
	var pairs []string
	for _, c := range got {
		if c.Path != "/" || c.Domain != "" || !c.HttpOnly || d.bare && c.Expires.IsZero() {
			t.Errorf("cookie %q lost what the app gave it", c.Raw)
		}
		if !d.bare && (!c.Secure || c.SameSite != http.SameSiteLaxMode) {
			t.Errorf("cookie %q: want Secure and SameSite=Lax", c.Raw)
		}
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	cookie := strings.Join(pairs, "; ")
	d.get(t, "/notes", "Cookie", cookie).wants(t, http.StatusOK).contains(t, "Log out")
	d.get(t, "/notes").wants(t, http.StatusOK).contains(t, "to write")

	out := d.do(t, http.MethodPost, "/logout", "", "Cookie", cookie).wants(t, http.StatusSeeOther)
	if c := out.Cookies(); d.bare && (len(c) == 0 || c[0].Value != "") {
		t.Errorf("log-out: got cookies %v, want an empty session", out.Header["Set-Cookie"])
	}
	if !d.bare {
		d.get(t, "/notes", "Cookie", cookie).wants(t, http.StatusOK).contains(t, "to write")
	}
}

func forms(t *testing.T, d door) {
	cookie := login(t, d)
	text := "Grüße & <b>bold</b> 100% +1; ünïcode\r\nsecond line"
	body := url.Values{"title": {"Über"}, "text": {text}}.Encode()
	send := []string{"Content-Type", "application/x-www-form-urlencoded", "Cookie", cookie}
	where := d.do(t, http.MethodPost, "/notes", body, send...).wants(t, http.StatusSeeOther).Header.Get("Location")
	d.get(t, where).wants(t, http.StatusOK).contains(t, "Grüße &amp; &lt;b&gt;bold&lt;/b&gt; 100% +1; ünïcode")
	d.do(t, http.MethodPost, "/notes", "title=&text=x", send...).
		wants(t, http.StatusUnprocessableEntity).contains(t, "a note needs a title")
	d.do(t, http.MethodPost, where+"/delete", "", send...).wants(t, http.StatusSeeOther)
	d.get(t, where).wants(t, http.StatusNotFound)
}

func api(t *testing.T, d door) {
	js := []string{"Content-Type", "application/json", "Cookie", login(t, d)}
	a := d.do(t, http.MethodPost, "/api/notes", `{"title":"one","text":"ünï"}`, js...).
		wants(t, http.StatusCreated).has(t, "Content-Type", "application/json; charset=utf-8")
	at := a.Header.Get("Location")
	var note struct{ Title, Text string }
	if err := json.Unmarshal([]byte(d.get(t, at).wants(t, http.StatusOK).body), &note); err != nil || note.Text != "ünï" {
		t.Errorf("GET %s: got %+v, %v", at, note, err)
	}
	d.do(t, http.MethodPut, at, `{"title":"two","text":""}`, js...).wants(t, http.StatusOK).contains(t, `"title":"two"`)
	gone := d.do(t, http.MethodDelete, at, "", js...).wants(t, http.StatusNoContent)
	if gone.body != "" {
		t.Errorf("204 with a body %q", gone.body)
	}
	for _, c := range []struct {
		method, path, body, kind string
		status                   int
		want                     string
	}{
		{"GET", at, "", "", 404, `{"error":"no such note"}`},
		{"GET", "/api/nothing", "", "", 404, `{"error":"no such thing"}`},
		{"POST", "/api/notes", `{bad`, "application/json", 400, `{"error":"entity.parse.failed"}`},
		{"POST", "/api/notes", `{"title":""}`, "application/json", 422, `{"error":"a note needs a title"}`},
		{"POST", "/api/notes", `title=a`, "text/plain", 415, `{"error":"send application/json"}`},
		{"POST", "/api/notes", `{"text":"` + strings.Repeat("a", 70_000) + `"}`, "application/json", 413, `{"error":"entity.too.large"}`},
	} {
		a := d.do(t, c.method, c.path, c.body, "Content-Type", c.kind, "Cookie", js[3], "Accept", "application/json")
		if a.StatusCode != c.status || a.body != c.want {
			t.Errorf("%s %s: got %d %q, want %d %q", c.method, c.path, a.StatusCode, a.body, c.status, c.want)
		}
		a.has(t, "Content-Type", "application/json; charset=utf-8")
	}
	d.do(t, http.MethodPost, "/api/notes", `{}`, "Content-Type", "application/json").
		wants(t, http.StatusUnauthorized).contains(t, `{"error":"log in first"}`)
}

// parts builds a multipart body with n files.
func parts(t *testing.T, n int, name string, data []byte) (body, kind string) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	if err := w.WriteField("remark", "a <remark>"); err != nil {
		t.Fatal(err)
	}
	for range n {
		f, err := w.CreateFormFile("file", name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String(), w.FormDataContentType()
}

func uploadsTest(t *testing.T, d door) {
	cookie := login(t, d)
	data := bytes.Repeat([]byte{0, 1, 2, 0xff, '\r', '\n'}, 20_000)
	sum := sha256.Sum256(data)
	at := "/uploads/" + hex.EncodeToString(sum[:])

	body, kind := parts(t, 1, "moon & tide.bin", data)
	d.do(t, http.MethodPost, "/upload", body, "Content-Type", kind, "Cookie", cookie).wants(t, http.StatusSeeOther)
	d.get(t, "/upload", "Cookie", cookie).wants(t, http.StatusOK).contains(t, "moon &amp; tide.bin").contains(t, "a &lt;remark&gt;")
	a := d.get(t, at, "Cookie", cookie).wants(t, http.StatusOK).
		has(t, "Content-Disposition", `attachment; filename="moon & tide.bin"`).
		has(t, "Content-Type", "application/octet-stream")
	if a.body != string(data) {
		t.Errorf("got %d bytes back that differ from the %d sent", len(a.body), len(data))
	}

	body, kind = parts(t, 1, "big.bin", make([]byte, 1<<20+1))
	d.do(t, http.MethodPost, "/upload", body, "Content-Type", kind, "Cookie", cookie).
		wants(t, http.StatusRequestEntityTooLarge).contains(t, "File too large")
	body, kind = parts(t, 5, "many.bin", []byte("x"))
	d.do(t, http.MethodPost, "/upload", body, "Content-Type", kind, "Cookie", cookie).
		wants(t, http.StatusRequestEntityTooLarge)
}

func ranges(t *testing.T, d door) {
	const path = "/files/tides.csv"
	whole := d.get(t, path).wants(t, http.StatusOK).has(t, "Accept-Ranges", "bytes")
	size, tag, when := len(whole.body), whole.Header.Get("ETag"), whole.Header.Get("Last-Modified")
	if tag == "" || when == "" || whole.ContentLength != int64(size) {
		t.Fatalf("ETag %q, Last-Modified %q, Content-Length %d of %d", tag, when, whole.ContentLength, size)
	}
	for _, c := range []struct {
		ask, got string
		from, to int
	}{
		{"bytes=0-9", fmt.Sprintf("bytes 0-9/%d", size), 0, 10},
		{"bytes=100-", fmt.Sprintf("bytes 100-%d/%d", size-1, size), 100, size},
		{"bytes=-5", fmt.Sprintf("bytes %d-%d/%d", size-5, size-1, size), size - 5, size},
	} {
		a := d.get(t, path, "Range", c.ask).wants(t, http.StatusPartialContent).
			has(t, "Content-Range", c.got).has(t, "ETag", tag)
		if a.body != whole.body[c.from:c.to] {
			t.Errorf("Range %s: got %.40q", c.ask, a.body)
		}
	}
	d.get(t, path, "Range", "bytes=999999-").wants(t, http.StatusRequestedRangeNotSatisfiable).
		has(t, "Content-Range", fmt.Sprintf("bytes */%d", size))
	d.get(t, path, "Range", "bytes=0-9", "If-Range", when).wants(t, http.StatusPartialContent)
	d.get(t, path, "Range", "bytes=0-9", "If-Range", `"other"`).wants(t, http.StatusOK)
	d.get(t, path, "If-None-Match", tag).wants(t, http.StatusNotModified)
	d.get(t, path, "If-Modified-Since", when).wants(t, http.StatusNotModified)
	d.get(t, path, "If-Match", `"other"`).wants(t, http.StatusPreconditionFailed)
}

func compressed(t *testing.T, d door) {
	plain := d.get(t, "/almanac", "Accept-Encoding", "identity").wants(t, http.StatusOK).has(t, "Content-Encoding", "")
	open := map[string]func(io.Reader) (io.Reader, error){
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"br":   func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	}
	for name, decode := range open {
		a := d.get(t, "/almanac", "Accept-Encoding", name).wants(t, http.StatusOK).has(t, "Content-Encoding", name)
		if !strings.Contains(strings.ToLower(strings.Join(a.Header.Values("Vary"), ",")), "accept-encoding") {
			t.Errorf("%s: Vary is %q", name, a.Header.Values("Vary"))
		}
		if len(a.body) >= len(plain.body)/2 {
			t.Errorf("%s: %d bytes of %d", name, len(a.body), len(plain.body))
		}
		r, err := decode(strings.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(r); err != nil || string(text) != plain.body {
			t.Errorf("%s: decoded to %d bytes (%v), want %d", name, len(text), err, len(plain.body))
		}
	}
}

func large(t *testing.T, d door) {
	const size = 16 << 20
	a := d.get(t, fmt.Sprintf("/bytes/%d", size)).wants(t, http.StatusOK)
	if a.ContentLength != size || len(a.body) != size {
		t.Fatalf("got %d bytes, Content-Length %d, want %d", len(a.body), a.ContentLength, size)
	}
	for i := range len(a.body) {
		if a.body[i] != byte(i%251) {
			t.Fatalf("byte %d is %d, want %d", i, a.body[i], i%251)
		}
	}
}

func redirects(t *testing.T, d door) {
	d.get(t, "/go").wants(t, http.StatusFound).has(t, "Location", "/notes")
	d.get(t, "/go/absolute").wants(t, http.StatusFound).has(t, "Location", d.url+"/notes")
}

func hints(t *testing.T, d door) {
	r, err := http.NewRequest(http.MethodGet, d.url+"/hinted", nil)
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	a, err := read(d.client.Do(r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			links = append(links, fmt.Sprint(code, " ", h.Get("Link")))
			return nil
		},
	}))))
	if err != nil {
		t.Fatal(err)
	}
	a.wants(t, http.StatusOK).contains(t, "announced with")
	if len(links) != 1 || links[0] != "103 </style.css>; rel=preload; as=style" {
		t.Errorf("got the hints %q", links)
	}
}

// seen holds what the app learns of a request: the same host, the real client
// and the scheme that the browser used.
func seen(t *testing.T, d door) {
	a := d.get(t, "/api/request?a=%2Fb&c=d%20e&f=%C3%A9&g", "X-Custom", "kept", "Accept-Language", "de").wants(t, http.StatusOK)
	var got struct {
		Method, URL, IP, Protocol, Host string
		Headers                         map[string]string
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	scheme, _, _ := strings.Cut(d.url, "://")
	if got.URL != "/api/request?a=%2Fb&c=d%20e&f=%C3%A9&g" || got.Host != d.addr() || got.IP != "127.0.0.1" || got.Protocol != scheme {
		t.Errorf("the app saw %+v", got)
	}
	if got.Headers["x-custom"] != "kept" || got.Headers["accept-language"] != "de" || got.Headers["host"] != d.addr() {
		t.Errorf("the app saw the headers %v", got.Headers)
	}
}
