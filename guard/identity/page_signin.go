package identity

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/pages"
)

var nobody = &guard.Rule{
	ID: "identity.nobody", Severity: guard.Info, Status: http.StatusUnauthorized,
	Title: "sign in first",
	Fix:   "nothing: a browser is led to the sign-in and back",
	CWE:   306, ASVS: []string{"8.3.1"},
}

var stale = &guard.Rule{
	ID: "identity.stale", Severity: guard.Low, Status: http.StatusForbidden,
	Title: "confirm first that it is you",
	Fix:   "nothing: a browser is led to the page that asks for the password again, which holds for five minutes",
	CWE:   306, ASVS: []string{"7.5.1", "7.5.2"},
}

// fresh is how long ago the password may have been given where a credential or
// a session of the account is to be changed.
const fresh = 5 * time.Minute

// getSignIn asks for name and password.
func (r *Room) getSignIn(req *http.Request) (answer, error) {
	to := r.way(req.URL.Query().Get("to"))
	if s := guard.From(req.Context()).Subject; s != nil {
		return answer{view: pages.SignedIn{To: to, Name: s.Name}}, nil
	}
	return answer{view: r.signInPage(to, "", nil)}, nil
}

func (r *Room) signInPage(to, name string, p *pages.Problem) pages.SignIn {
	v := pages.SignIn{To: to, Name: name, Passwords: true, Problem: p}
	for _, d := range r.doors {
		v.Providers = append(v.Providers, d.to(to))
	}
	return v
}

// door is a provider that leads in.
type door struct{ label, path, issuer string }

// to is the link through the door and then to a path. It is a link and no form:
// Chromium asks form-action also where a form is redirected to.
func (d door) to(path string) pages.Provider {
	return pages.Provider{Name: d.label, Path: d.path + "?to=" + url.QueryEscape(path)}
}

// postSignIn signs in. A wrong password and an unknown name get the same
// answer to the last byte but the name that was sent.
func (r *Room) postSignIn(req *http.Request, f url.Values) (answer, error) {
	to, name := r.way(f.Get("to")), f.Get("name")
	a, err := r.verify(req, name, f.Get("password"))
	if err != nil {
		d, p := r.refusal(err, "problem.credentials", "")
		if d == nil {
			return answer{}, err
		}
		return answer{}, r.again(req, d, r.signInPage(to, name, p))
	}
	return r.enter(req, a, to)
}

// refusal tells what a refused password is told by. Another error stays one.
func (r *Room) refusal(err error, key, field string) (*guard.Denial, *pages.Problem) {
	var d *guard.Denial
	if !errors.As(err, &d) {
		return nil, nil
	}
	seconds, err := strconv.Atoi(d.Header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		return d, &pages.Problem{Key: key, Field: field}
	}
	key = "problem.throttled"
	if d.Code() >= 500 {
		key = "problem.busy"
	}
	return d, &pages.Problem{Key: key, Values: map[string]string{"wait": r.pages.Wait(time.Duration(seconds) * time.Second)}}
}

// enter begins a session with the account. One that stood before gets another
// id, so that who planted it knows nothing of this one (ASVS 7.2.4).
func (r *Room) enter(req *http.Request, a *account.Account, to string) (answer, error) {
	g := r.linked(req, a.Grant([]string{"pwd"}, time.Now()))
	if err := r.o.Sessions.Begin(req, g); err != nil {
		return answer{}, err
	}
	e := signedIn.Noted("%s by password", a.Name)
	e.User = a.ID
	guard.From(req.Context()).Emit(e)
	at, err := r.lead(req, g, to)
	return answer{to: at, cookies: []*http.Cookie{r.mark(req, a)}}, err
}

func (r *Room) getSignOut(req *http.Request) (answer, error) {
	if s := guard.From(req.Context()).Subject; s != nil {
		return answer{view: pages.SignOut{Name: s.Name}}, nil
	}
	return answer{view: r.signedOut(req)}, nil
}

func (r *Room) signedOut(req *http.Request) pages.SignedOut {
	return pages.SignedOut{Homeless: r.c.Host != "" && r.atLogin(req)}
}

// postSignOut ends the session, also one in which nobody is signed in. Where
// the pages have a host of their own, every session of the same sign-in ends
// with it: that of the login host, and what was handed over from there.
func (r *Room) postSignOut(req *http.Request, _ url.Values) (answer, error) {
	s := guard.From(req.Context()).Session
	if s == nil {
		return answer{view: r.signedOut(req)}, nil
	}
	g, in := s.Grant()
	if err := r.o.Sessions.SignOut(req); err != nil {
		return answer{}, err
	}
	if in && r.c.Host != "" && g.SID != "" {
		if _, err := r.o.Sessions.EndOIDC(req.Context(), g.Issuer, g.SID, ""); err != nil {
			return answer{}, err
		}
	}
	if err := (keeper{r}).End(req.Context(), g.Key); err != nil {
		return answer{}, err
	}
	return answer{view: r.signedOut(req)}, nil
}

// holder returns who is signed in, with the account and the grant; nobody is
// led to the sign-in and back to a path.
func (r *Room) holder(req *http.Request, back string) (*account.Account, guard.Grant, error) {
	x := guard.From(req.Context())
	if x.Subject == nil || x.Session == nil || x.Subject.Token {
		d := nobody.Deny("nobody is signed in")
		d.Remedy = signInPath + "?to=" + url.QueryEscape(back)
		return nil, guard.Grant{}, d
	}
	g, _ := x.Session.Grant()
	a, found, err := r.book.Get(req.Context(), x.Subject.ID)
	if err != nil {
		return nil, g, err
	}
	if !found {
		return nil, g, fmt.Errorf("account %s has gone", x.Subject.ID)
	}
	return a, g, nil
}

// recently refuses a change where the password was given too long ago: an
// unattended machine, or a stolen session, may not become the account itself.
func recently(g guard.Grant) error {
	if age := time.Since(g.At); age >= 0 && age < fresh {
		return nil
	}
	d := stale.Deny("who it is was proved at %s", g.At.UTC().Format(time.RFC3339))
	d.Remedy = confirmPath + "?to=" + url.QueryEscape(accountPath)
	return d
}

// getConfirm asks for the password again, and a person of a provider to go
// there again.
func (r *Room) getConfirm(req *http.Request) (answer, error) {
	to := r.way(req.URL.Query().Get("to"))
	a, _, err := r.holder(req, to)
	if err != nil {
		return answer{}, err
	}
	return answer{view: r.confirmPage(a, to, nil)}, nil
}

func (r *Room) confirmPage(a *account.Account, to string, p *pages.Problem) pages.Confirm {
	v := pages.Confirm{To: to, Name: a.Name, Problem: p, Back: to}
	if r.c.Host != "" {
		v.Back = accountPath // not into a hand-over that would ask again
	}
	for _, d := range r.doors {
		if a.Issuer != "" && d.issuer == a.Issuer {
			link := d.to(to)
			v.Provider = &link
		}
	}
	return v
}

// postConfirm is a step up: the session begins anew, with the time of now.
func (r *Room) postConfirm(req *http.Request, f url.Values) (answer, error) {
	to := r.way(f.Get("to"))
	a, _, err := r.holder(req, to)
	if err != nil {
		return answer{}, err
	}
	if _, err := r.itsPassword(req, a, f.Get("password")); err != nil {
		d, p := r.refusal(err, "problem.password", "password")
		if d == nil {
			return answer{}, err
		}
		return answer{}, r.again(req, d, r.confirmPage(a, to, p))
	}
	return r.enter(req, a, to)
}

// itsPassword verifies the password of the very account that is signed in, and
// returns the account as it was read for that. A person of a provider has none,
// whatever account here has the same name.
func (r *Room) itsPassword(req *http.Request, a *account.Account, password string) (*account.Account, error) {
	if a.Issuer != "" {
		return nil, signIn.Deny("the account is of %s and has no password", a.Issuer)
	}
	v, err := r.verify(req, a.Name, password)
	if err != nil {
		return nil, err
	}
	if v.ID != a.ID {
		return nil, signIn.Deny("the password is another account's")
	}
	return v, nil
}
