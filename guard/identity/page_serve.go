package identity

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/pages"
	"hauberk.dev/internal/origin"
)

var navigation = &guard.Rule{
	ID: "identity.navigation", Severity: guard.Medium, Status: http.StatusForbidden,
	Title: "this page is shown in a window of its own only",
	Fix:   "link to the page; it is shown in no frame and read by no script, since whoever does so sees or steers what the user does there",
	CWE:   1021, ASVS: []string{"3.4.6", "3.5.1", "3.5.8"},
}

var badForm = &guard.Rule{
	ID: "identity.form", Severity: guard.Low, Status: http.StatusBadRequest,
	Title: "this is not what the form sends",
	Fix:   "nothing: the forms of these pages are sent by their buttons only",
	CWE:   20, ASVS: []string{"2.2.1", "4.1.1"},
}

// The pages, below the prefix that is ours on every site.
const (
	signInPath   = "/.hauberk/sign-in"
	signOutPath  = "/.hauberk/sign-out"
	confirmPath  = "/.hauberk/confirm"
	accountPath  = "/.hauberk/account"
	passwordPath = "/.hauberk/account/password"
	sessionsPath = "/.hauberk/account/sessions"
	firstPath    = "/.hauberk/first"
	logoPath     = "/.hauberk/logo"
	jwksPath     = "/.hauberk/jwks.json"
	oidcPath     = "/.hauberk/oidc/"
)

// maxForm bounds the body of a form: two passwords of 256 characters, each of
// which takes up to twelve bytes there, fit in well.
const maxForm = 16 << 10

// page answers at one path. A nil method is refused.
type page struct {
	get  func(*http.Request) (answer, error)
	post func(*http.Request, url.Values) (answer, error)
}

// answer is a page to show, or a path to go to.
type answer struct {
	view    pages.View
	to      string
	cookies []*http.Cookie
}

// PagePaths are the paths at which Pages answers; the root keeps them for us.
func PagePaths() []string {
	return []string{signInPath, signOutPath, confirmPath, accountPath, passwordPath, sessionsPath, firstPath, logoPath, jwksPath}
}

// Paths are all at which Pages answers, those of the providers too; the root
// keeps them for us.
func (c Config) Paths() []string {
	paths := PagePaths()
	if c.Host != "" {
		paths = append(paths, continuePath, sessionPath)
	}
	for _, p := range c.Providers {
		at := oidcPath + p.Name
		paths = append(paths, at, at+"/callback", at+"/logout")
	}
	return paths
}

// ownPages are those at which people and providers say who they are.
func (r *Room) ownPages() map[string]page {
	at := map[string]page{
		signInPath:   {get: r.getSignIn, post: r.postSignIn},
		signOutPath:  {get: r.getSignOut, post: r.postSignOut},
		confirmPath:  {get: r.getConfirm, post: r.postConfirm},
		accountPath:  {get: r.getAccount},
		passwordPath: {post: r.postPassword},
		sessionsPath: {post: r.postSessions},
		firstPath:    {get: r.getFirst, post: r.postFirst},
	}
	for i := range r.providers {
		d := r.doors[i]
		at[d.path] = page{get: func(req *http.Request) (answer, error) { return r.startAt(i, req) }}
		at[d.path+"/callback"] = page{get: func(req *http.Request) (answer, error) { return r.backFrom(i, req) }}
	}
	return at
}

// Pages answers at the paths of the pages, and leaves all else to next.
func (r *Room) Pages(next http.Handler) http.Handler {
	next = r.workers(next)
	if r.c.Host != "" {
		return r.hosted(next)
	}
	at := r.ownPages()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path := asked(req)
		if path == logoPath {
			r.serveLogo(w, req)
			return
		}
		if path == jwksPath {
			r.JWKS().ServeHTTP(w, req)
			return
		}
		if i := r.logoutAt(path); i >= 0 {
			r.serveLogout(i, w, req)
			return
		}
		if p, ours := at[path]; ours {
			r.servePage(w, req, p)
			return
		}
		next.ServeHTTP(w, req)
	})
}

// asked is the path that the request is decided by.
func asked(req *http.Request) string {
	if x := guard.From(req.Context()); x.Path != "" {
		return x.Path
	}
	return req.URL.Path
}

// servePage answers with what a page says. None of these rules can be excused,
// but Refuse alone knows: what it leaves to us goes nowhere.
func (r *Room) servePage(w http.ResponseWriter, req *http.Request, p page) {
	a, err := p.ask(req)
	for _, c := range a.cookies {
		http.SetCookie(w, c)
	}
	if err == nil && a.view != nil {
		err = r.show(w, req, a.view)
	}
	switch {
	case err != nil:
		guard.Refuse(w, req, err)
	case a.to != "":
		h := w.Header()
		h.Set("Location", a.to)
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer") // an address may hold a code
		h.Set("Content-Length", "0")
		w.WriteHeader(http.StatusSeeOther)
	}
}

func (p *page) ask(req *http.Request) (answer, error) {
	if err := navigates(req); err != nil {
		return answer{}, err
	}
	switch {
	case p.get != nil && (req.Method == http.MethodGet || req.Method == http.MethodHead):
		return p.get(req)
	case p.post != nil && req.Method == http.MethodPost:
		f, err := form(req)
		if err != nil {
			return answer{}, err
		}
		return p.post(req, f)
	}
	return answer{}, badForm.Deny("method %q", req.Method).In("method").WithStatus(http.StatusMethodNotAllowed).With("Allow", p.allow())
}

func (p *page) allow() string {
	var methods []string
	if p.get != nil {
		methods = append(methods, http.MethodGet, http.MethodHead)
	}
	if p.post != nil {
		methods = append(methods, http.MethodPost)
	}
	return strings.Join(methods, ", ")
}

// navigates refuses everything but a navigation of a whole window: a frame can
// be laid under another page's button, and what a script fetches it can read
// and send, as a hole in the app's pages would let it (CWE-1021). Browsers say
// so by themselves since 2023 (Fetch Metadata); one that says nothing at all is
// believed unless it says that a script asks.
func navigates(req *http.Request) error {
	h := req.Header
	site, mode, dest := h["Sec-Fetch-Site"], h["Sec-Fetch-Mode"], h["Sec-Fetch-Dest"]
	switch {
	case len(h["X-Requested-With"]) > 0:
		return navigation.Deny("a script asks").In("header.X-Requested-With")
	case len(h["Service-Worker"]) > 0:
		return navigation.Deny("a service worker asks").In("header.Service-Worker")
	case len(site)+len(mode)+len(dest) == 0:
	case !slices.Equal(mode, []string{"navigate"}) || !slices.Equal(dest, []string{"document"}):
		return navigation.Deny("mode %q, dest %q", mode, dest).In("header.Sec-Fetch-Dest")
	}
	if req.Method != http.MethodPost {
		return nil
	}
	return sameOrigin(req, site)
}

// sameOrigin refuses a form that another origin sends, one that csrf trusts
// for the app too: it may not sign anybody in here.
func sameOrigin(req *http.Request, site []string) error {
	if len(site) > 0 && !slices.Equal(site, []string{"same-origin"}) && !slices.Equal(site, []string{"none"}) {
		return navigation.Deny("a form of another origin (%q)", site).In("header.Sec-Fetch-Site")
	}
	from := req.Header["Origin"]
	if len(from) == 0 || len(from) == 1 && (origin.Is(from[0], guard.From(req.Context()).Secure, req.Host) || from[0] == "null" && len(site) > 0) {
		return nil
	}
	return navigation.Deny("a form of origin %q", from).In("header.Origin")
}

// form reads the fields of a form, each of which comes once.
func form(req *http.Request) (url.Values, error) {
	kind, more, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, badForm.Deny("a body of type %q", kind).In("header.Content-Type").WithStatus(http.StatusUnsupportedMediaType)
	}
	// What is read here as UTF-8 must not have been looked at as anything else.
	if set, said := more["charset"]; said && !strings.EqualFold(set, "utf-8") {
		return nil, badForm.Deny("a form in charset %q", set).In("header.Content-Type").WithStatus(http.StatusUnsupportedMediaType)
	}
	if req.ContentLength > maxForm {
		return nil, tooLong()
	}
	text, err := io.ReadAll(io.LimitReader(req.Body, maxForm+1))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) || len(text) > maxForm {
		return nil, tooLong()
	}
	if err != nil {
		return nil, badForm.Deny("read the form: %w", err).In("body")
	}
	f, err := url.ParseQuery(string(text))
	if err != nil {
		// The error quotes the body, which may hold a password.
		return nil, badForm.Deny("the form is not URL-encoded").In("body")
	}
	for _, values := range f {
		if len(values) > 1 {
			return nil, badForm.Deny("a field that comes %d times", len(values)).In("body")
		}
	}
	return f, nil
}

func tooLong() error {
	return badForm.Deny("a form of more than %d bytes", maxForm).In("body").WithStatus(http.StatusRequestEntityTooLarge)
}

// show sends a page.
func (r *Room) show(w http.ResponseWriter, req *http.Request, v pages.View) error {
	html, err := r.pages.HTML(v)
	if err != nil {
		return err
	}
	h := w.Header()
	for name, value := range sealed(v) {
		h.Set(name, value)
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", fmt.Sprint(len(html)))
	csp := r.pages.CSP(r.beyond(req, v)...)
	h.Set("Content-Security-Policy", csp)
	guard.From(req.Context()).Policy = csp
	w.WriteHeader(http.StatusOK)
	io.WriteString(w, html)
	return nil
}

// sealed are the headers of every page. A referrer is told to this origin
// alone: to nobody at all would make browsers send "Origin: null" with our own
// forms. The link of the first administrator is told to nobody.
func sealed(v pages.View) map[string]string {
	referrer := "same-origin"
	if _, first := v.(pages.First); first {
		referrer = "strict-origin"
	}
	return map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": referrer, "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	}
}

// again refuses a form and shows it once more, with what was wrong about it.
func (r *Room) again(req *http.Request, d *guard.Denial, v pages.View) error {
	html, err := r.pages.HTML(v)
	if err != nil {
		return err
	}
	d.Page = &guard.Page{HTML: html, CSP: r.pages.CSP(r.beyond(req, v)...)}
	for name, value := range sealed(v) {
		d.With(name, value)
	}
	return d
}
