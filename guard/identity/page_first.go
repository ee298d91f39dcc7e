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
func (r *Room) getFirst(req *http.Request) (answer, error) {
	token := req.URL.Query().Get("token")
	open, err := r.firstOpen(req.Context(), token)
	if err != nil {
		return answer{}, err
	}
	if !open {
		return answer{}, r.tooLate(req, "no such link")
	}
	return answer{view: pages.First{Token: token, Least: r.least()}}, nil
}

func (r *Room) tooLate(req *http.Request, why string) error {
	return r.again(req, firstLink.Deny("%s", why).In("query.token"), pages.Wrong{Key: "wrong.first", To: r.home(), Link: "wrong.home"})
}

// postFirst makes the first administrator and signs him in.
func (r *Room) postFirst(req *http.Request, f url.Values) (answer, error) {
	token, name := f.Get("token"), f.Get("name")
	if open, err := r.firstOpen(req.Context(), token); err != nil {
		return answer{}, err
	} else if !open {
		return answer{}, r.tooLate(req, "no such link")
	}
	retry := func(key, field string) error {
		return r.again(req, weakPassword.Deny("%s", key).In("body."+field),
			pages.First{Token: token, Name: name, Least: r.least(), Problem: &pages.Problem{Key: key, Field: field}})
	}
	if _, err := account.Fold(name); err != nil {
		return answer{}, retry("problem.name", "name")
	}
	if key, field := r.mistake(&account.Account{Name: name}, f); key != "" {
		return answer{}, retry(key, field)
	}
	a, err := r.firstUse(req.Context(), r.clientOf(req, ""), token, name, f.Get("new"))
	switch {
	case errors.Is(err, account.ErrExists):
		return answer{}, retry("problem.taken", "name")
	case errors.Is(err, errFirst) || errors.Is(err, ErrAdministrator):
		return answer{}, r.tooLate(req, "another was faster")
	case err != nil:
		return answer{}, err
	}
	return r.enter(req, a, accountPath)
}
