package identity

import (
	"errors"
	"net/http"
	"net/url"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/pages"
)

var firstLink = &guard.Rule{
	ID: "identity.first", Severity: guard.High, Status: http.StatusForbidden,
	Title: "this link has been used or is too old",
	Fix:   "make another with hauberk users first; if nobody of yours had the old one, read who used it with hauberk log",
	CWE:   640, ASVS: []string{"6.4.1", "6.3.2"},
}

// getFirst shows the form of the link's page. It uses nothing up: mail
// programs and messengers open links before people do.
func (r *Room) getFirst(req *http.Request) (reply, error) {
	token := req.URL.Query().Get("token")
	if _, err := r.firstOpen(req.Context(), token); err != nil {
		return reply{}, r.tooLate(err)
	}
	return reply{view: pages.First{Token: token, Least: r.least()}}, nil
}

// tooLate says that the link is over, where that is what is wrong.
func (r *Room) tooLate(err error) error {
	if !errors.Is(err, errFirst) && !errors.Is(err, ErrAdministrator) {
		return err
	}
	return r.again(firstLink.Deny("%w", err).In("query.token"), pages.Wrong{Key: "wrong.first", To: pages.Home, Link: "wrong.home"})
}

// postFirst makes the first administrator and signs him in.
func (r *Room) postFirst(req *http.Request, f url.Values) (reply, error) {
	token, name := f.Get("token"), f.Get("name")
	if _, err := r.firstOpen(req.Context(), token); err != nil {
		return reply{}, r.tooLate(err)
	}
	retry := func(key, field string) error {
		return r.again(weakPassword.Deny("%s", key).In("body."+field),
			pages.First{Token: token, Name: name, Least: r.least(), Problem: &pages.Problem{Key: key, Field: field}})
	}
	if _, err := account.Fold(name); err != nil {
		return reply{}, retry("problem.name", "name")
	}
	if key, field := r.mistake(name, "", f); key != "" {
		return reply{}, retry(key, field)
	}
	a, err := r.firstUse(req.Context(), r.client(req, ""), token, name, f.Get("new"))
	switch {
	case errors.Is(err, account.ErrExists):
		return reply{}, retry("problem.taken", "name")
	case err != nil:
		return reply{}, r.tooLate(err)
	}
	return r.enter(req, a, accountPath)
}
