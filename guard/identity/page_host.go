package identity

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/pages"
	"hauberk.dev/internal/origin"
)

var loginHost = &guard.Rule{
	ID: "identity.login-host", Severity: guard.Low, Status: http.StatusNotFound,
	Title: "there is nothing here",
	Fix:   "the host of identity.host has the pages of the sign-in and nothing else, and no other host has them",
	CWE:   668, ASVS: []string{"3.5.4"},
}

// The paths of a hand-over: where the login host asks, and where the app's host
// takes what it answers.
const (
	continuePath = "/.hauberk/continue"
	sessionPath  = "/.hauberk/session"
)

// atLogin says that a request came to the host of the pages.
func (r *Room) atLogin(req *http.Request) bool {
	return guard.From(req.Context()).Route.Site == r.c.Host
}

// loginPages are those of the host of their own.
func (r *Room) loginPages() map[string]page {
	at := r.ownPages()
	at[continuePath] = page{get: r.getContinue, post: r.postContinue}
	return at
}

// appPages are what an app's host has of the pages where they have a host of
// their own: the ways there and back, and the way out.
func (r *Room) appPages() map[string]page {
	return map[string]page{
		signInPath:  {get: func(req *http.Request) (answer, error) { return r.handOff(req, false) }},
		confirmPath: {get: func(req *http.Request) (answer, error) { return r.handOff(req, true) }},
		signOutPath: {get: r.getSignOut, post: r.postSignOut},
		sessionPath: {get: r.land},
		accountPath: {get: func(req *http.Request) (answer, error) {
			return answer{to: originOf(req, r.c.Host) + accountPath}, nil
		}},
	}
}

// hosted answers where the pages have a host of their own.
func (r *Room) hosted(next http.Handler) http.Handler {
	login, app := r.loginPages(), r.appPages()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path, here := asked(req), app
		if r.atLogin(req) {
			here = login
			if i := r.logoutAt(path); i >= 0 {
				r.serveLogout(i, w, req)
				return
			}
		}
		p, ours := here[path]
		_, there := login[path]
		switch {
		case path == logoPath:
			r.serveLogo(w, req)
		case path == jwksPath:
			r.JWKS().ServeHTTP(w, req)
		case ours:
			r.servePage(w, req, p)
		case r.atLogin(req) || there || r.logoutAt(path) >= 0:
			guard.Refuse(w, req, loginHost.Deny("not at %q", guard.From(req.Context()).Route.Site))
		default:
			next.ServeHTTP(w, req)
		}
	})
}

// hostOf is the name that a request asks for, without port and final dot.
func hostOf(req *http.Request) string {
	name, _ := hostPort(req.Host)
	return name
}

// hostPort splits a Host field; the port keeps its colon.
func hostPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host, port = host[:i], host[i:]
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), port
}

// originOf is another host of this gate as the browser of a request reaches it:
// by the same scheme and the same port. No port is ever taken from elsewhere.
func originOf(req *http.Request, host string) string {
	_, port := hostPort(req.Host)
	if guard.From(req.Context()).Secure {
		return "https://" + host + port
	}
	return "http://" + host + port
}

// bare says whether a text is the name of a host and nothing else, in the
// spelling of origins: what is matched against the sites' hosts goes into an
// address, where "evil.example/.test" would lead elsewhere (CWE-601).
func bare(host string) bool {
	if strings.Contains(host, ":") && !strings.HasSuffix(host, "]") {
		return false
	}
	o, ok := origin.Parse("https://" + host)
	return ok && o == "https://"+host
}

// onward is a hand-over as the login host knows it.
type onward struct {
	// host is that of the app which wants to know who it is.
	host string
	// state is the digest of what the browser keeps there.
	state string
	// fresh says that the person is to prove anew who it is. It is a wish:
	// what was proved stands in the grant.
	fresh bool
}

// path is where the login host goes on with it.
func (o onward) path() string {
	p := continuePath + "?for=" + url.QueryEscape(o.host) + "&state=" + o.state
	if o.fresh {
		p += "&fresh=1"
	}
	return p
}

// onwardOf reads a path of onward; false for every other text, and for a host
// that is none of this gate's apps.
func (r *Room) onwardOf(to string) (onward, bool) {
	query, ok := strings.CutPrefix(to, continuePath+"?")
	if !ok || r.c.Host == "" || len(to) > 1024 {
		return onward{}, false
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return onward{}, false
	}
	o := onward{q.Get("for"), q.Get("state"), q.Get("fresh") == "1"}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(o.state)
	ok = err == nil && len(sum) == 32 && len(o.state) == 43 && bare(o.host) && r.o.Serves != nil && r.o.Serves(o.host)
	return o, ok
}

// way reads where a page leads to: a path of its host that pages.Path lets
// through or, at the login host, the account or a hand-over.
func (r *Room) way(to string) string {
	if r.c.Host == "" {
		return pages.Path(to)
	}
	if o, ok := r.onwardOf(to); ok {
		return o.path()
	}
	if p := pages.Path(to); strings.HasPrefix(p, accountPath) {
		return p
	}
	return accountPath
}

// home is where a page leads to that has nowhere else.
func (r *Room) home() string { return r.way(pages.Home) }

// beyond lists the origins to which the form on a page may lead, beside its own.
func (r *Room) beyond(req *http.Request, v pages.View) []string {
	to := ""
	switch v := v.(type) {
	case pages.SignIn:
		to = v.To
	case pages.Confirm:
		to = v.To
	case pages.Continue:
		to = v.To
	}
	if o, ok := r.onwardOf(to); ok {
		return []string{originOf(req, o.host)}
	}
	return nil
}

// getContinue asks whoever is signed in here whether to go on to the app: no
// session begins without the person's doing (ASVS 7.6.2).
func (r *Room) getContinue(req *http.Request) (answer, error) {
	o, ok := r.onwardOf(continuePath + "?" + req.URL.RawQuery)
	if !ok {
		return answer{}, handover.Deny("it names no host of this gate, or no state").In("query.for")
	}
	s := guard.From(req.Context()).Subject
	switch {
	case s == nil || s.Token:
		return answer{view: r.signInPage(o.path(), "", nil)}, nil
	case o.fresh:
		return answer{to: confirmPath + "?to=" + url.QueryEscape(o.path())}, nil
	}
	return answer{view: pages.Continue{To: o.path(), Name: s.Name, Host: o.host}}, nil
}

func (r *Room) postContinue(req *http.Request, f url.Values) (answer, error) {
	o, ok := r.onwardOf(f.Get("to"))
	if !ok {
		return answer{}, handover.Deny("it names no host of this gate, or no state").In("body.to")
	}
	_, g, err := r.holder(req, o.path())
	if err != nil {
		return answer{}, err
	}
	to, err := r.lead(req, g, o.path())
	return answer{to: to}, err
}
