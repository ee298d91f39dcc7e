package identity

import (
	"errors"
	"net/http"
	"net/url"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/pages"
	"hauberk.dev/guard/identity/password"
)

var weakPassword = &guard.Rule{
	ID: "identity.weak-password", Severity: guard.Info, Status: http.StatusUnprocessableEntity,
	Title: "this password cannot be used",
	Fix:   "nothing: the page says why; length and words are those of identity.password",
	CWE:   521, ASVS: []string{"6.2.1", "6.2.4", "6.2.11", "6.2.12"},
}

// getAccount shows the account and its sessions.
func (r *Room) getAccount(req *http.Request) (answer, error) {
	a, g, err := r.holder(req, accountPath)
	if err != nil {
		return answer{}, err
	}
	v, err := r.accountPage(req, a, g)
	if err != nil {
		return answer{}, err
	}
	switch done := req.URL.Query().Get("done"); done {
	case "password", "session", "others", "gone":
		v.Done = "done." + done
	}
	return answer{view: v}, nil
}

func (r *Room) accountPage(req *http.Request, a *account.Account, g guard.Grant) (pages.Account, error) {
	v := pages.Account{
		Name: a.Name, Email: a.Email, Roles: a.Roles, SignedIn: g.At,
		Password: a.Issuer == "" && a.Hash != "", Least: r.least(),
	}
	if a.Issuer != "" {
		v.Provider = a.Issuer
	}
	for _, d := range r.doors {
		if a.Issuer != "" && d.issuer == a.Issuer {
			v.Provider = d.label
		}
	}
	visits, err := r.o.Sessions.List(req.Context(), a.ID)
	if err != nil {
		return v, err
	}
	own := guard.From(req.Context()).Session.ID()
	for _, s := range visits {
		browser, system := pages.Device(s.Device)
		this := s.ID == own
		v.Others = v.Others || !this
		v.Sessions = append(v.Sessions, pages.Session{
			ID: s.ID, Client: s.Client, Browser: browser, System: system, Created: s.Created, Seen: s.Seen, This: this,
		})
	}
	return v, nil
}

// least is how many characters a password has.
func (r *Room) least() int { return max(r.c.Password.Min, password.MinAlone) }

// postPassword changes the password. It takes the old one in the same form,
// however fresh the session is, and ends every other session with the same
// write (ASVS 6.2.3, 7.4.3).
func (r *Room) postPassword(req *http.Request, f url.Values) (answer, error) {
	a, g, err := r.holder(req, accountPath)
	if err != nil {
		return answer{}, err
	}
	was, err := r.itsPassword(req, a, f.Get("password"))
	if err != nil {
		d, p := r.refusal(err, "problem.password", "password")
		if d == nil {
			return answer{}, err
		}
		return answer{}, r.accountAgain(req, a, g, d, p)
	}
	if key, field := r.mistake(a, f); key != "" {
		return answer{}, r.accountAgain(req, a, g, weakPassword.Deny("%s", key).In("body."+field), &pages.Problem{Key: key, Field: field})
	}
	made, err := r.replacePassword(req.Context(), r.clientOf(req, a.ID), was, guard.From(req.Context()).Session.ID(), f.Get("new"))
	if err != nil {
		return answer{}, err
	}
	if _, err := r.enter(req, made, ""); err != nil {
		return answer{}, err
	}
	return answer{to: accountPath + "?done=password"}, nil
}

// accountAgain shows the account with what was wrong with its form.
func (r *Room) accountAgain(req *http.Request, a *account.Account, g guard.Grant, d *guard.Denial, p *pages.Problem) error {
	v, err := r.accountPage(req, a, g)
	if err != nil {
		return err
	}
	v.Problem = p
	return r.again(req, d, v)
}

// mistake says what is wrong with a new password, by the key of its text and
// the field to mend. It stands twice in the form: who mistypes a password that
// nobody can see has lost the account.
func (r *Room) mistake(a *account.Account, f url.Values) (key, field string) {
	given := f.Get("new")
	var weak *Weak
	switch err := r.checkPassword(a.Name, a.Email, given); {
	case errors.As(err, &weak):
		return string(weak.Reason), "new"
	case err != nil:
		return "password-invalid", "new"
	case f.Get("again") != given:
		return "problem.again", "again"
	case f.Get("password") == given && f.Has("password"):
		return "problem.same", "new"
	}
	return "", ""
}

// postSessions ends one session, or all others.
func (r *Room) postSessions(req *http.Request, f url.Values) (answer, error) {
	a, g, err := r.holder(req, accountPath)
	if err != nil {
		return answer{}, err
	}
	if err := recently(g); err != nil {
		return answer{}, err
	}
	own := guard.From(req.Context()).Session.ID()
	id, others := f.Get("id"), f.Get("others")
	switch {
	case others == "all" && id == "":
		if _, err := r.o.Sessions.EndAll(req.Context(), a.ID, own); err != nil {
			return answer{}, err
		}
		return answer{to: accountPath + "?done=others"}, nil
	case id == own:
		return r.postSignOut(req, nil)
	case id == "" || others != "":
		return answer{}, badForm.Deny("neither a session nor all others").In("body")
	}
	found, err := r.o.Sessions.End(req.Context(), a.ID, id)
	if err != nil {
		return answer{}, err
	}
	if !found {
		return answer{to: accountPath + "?done=gone"}, nil
	}
	return answer{to: accountPath + "?done=session"}, nil
}
