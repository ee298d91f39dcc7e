package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/token"
)

// know fills the subject from the session or from a bearer token.
func (r *Room) know(req *http.Request) error {
	x := guard.From(req.Context())
	if err := r.remember(x, req); err != nil {
		return err
	}
	if r.tokens == nil {
		return nil // a bearer token is the app's business
	}
	s, err := r.bearer(req)
	if err == nil && s == nil {
		return nil
	}
	if x.Subject != nil {
		return twoIdentities.Deny("a session of %s and a bearer token", x.Subject.ID).In("header.Authorization")
	}
	x.Subject = s
	return err
}

// remember fills the subject from the session. A session whose account is not
// what it was at the sign-in is ended, and nobody is there.
func (r *Room) remember(x *guard.Exchange, req *http.Request) error {
	if x.Session == nil {
		return nil
	}
	g, ok := x.Session.Grant()
	if !ok {
		return nil
	}
	a, found, err := r.book.Get(req.Context(), g.User)
	if err != nil {
		return err
	}
	if !found || !a.Stands(g) {
		if r.o.Sessions.End != nil {
			_, err = r.o.Sessions.End(req.Context(), g.User, x.Session.ID())
		}
		return err
	}
	if alive, err := r.renewed(req, a, g); err != nil || !alive {
		return err
	}
	if a.Rights() != g.Rights {
		// Who may do something else gets another id (ASVS 7.2.4).
		g.Rights = a.Rights()
		if err := r.regrant(req, g); err != nil {
			return err
		}
		if g, ok = x.Session.Grant(); !ok {
			return nil // it ended meanwhile
		}
	}
	x.Subject = a.As(g)
	return nil
}

func (r *Room) regrant(req *http.Request, g guard.Grant) error {
	switch s := r.o.Sessions; {
	case s.Regrant != nil:
		return s.Regrant(req, g)
	case s.Begin != nil:
		return s.Begin(req, g)
	}
	return nil
}

// bearer returns who holds the bearer token, nil for nobody. A token is ours to
// judge, and to refuse, where it names a listed issuer, whatever else is wrong
// with it; the app may have tokens of its own.
func (r *Room) bearer(req *http.Request) (*guard.Subject, error) {
	var held *guard.Subject
	fields := req.Header["Authorization"]
	for _, field := range fields {
		// Many readers part the two by any white space, a tab too.
		field = strings.Trim(field, " \t")
		at := strings.IndexAny(field, " \t")
		if at < 0 || !strings.EqualFold(field[:at], "Bearer") {
			continue
		}
		raw := strings.TrimLeft(field[at:], " \t")
		s, err := r.tokens.Verify(req.Context(), raw)
		var bad *token.Error
		switch {
		case errors.As(err, &bad) && (bad.Reason == token.Issuer || bad.Reason == token.Malformed) && !r.claims(raw):
			continue
		case errors.As(err, &bad) && bad.Reason == token.Unavailable:
			return nil, badToken.Deny("%w", err).WithStatus(http.StatusServiceUnavailable).With("Retry-After", "10")
		case errors.As(err, &bad):
			return nil, invalidToken("%w", err)
		case err != nil:
			return nil, err
		case len(fields) > 1:
			return nil, invalidToken("%d fields Authorization: the app may read another one", len(fields))
		}
		held = s
	}
	return held, nil
}

func invalidToken(format string, args ...any) *guard.Denial {
	return badToken.Deny(format, args...).In("header.Authorization").
		With("WWW-Authenticate", `Bearer error="invalid_token", error_description="`+token.Refused+`"`)
}

// claims says whether a token that is not well formed, or that Verify finds
// nobody for, says that it is of a listed issuer.
func (r *Room) claims(raw string) bool {
	parts := strings.Split(raw, ".")
	if len(parts) < 2 || len(parts[1]) > token.MaxLength {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return false
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	json.Unmarshal(text, &c) // what stands before a mistake counts too
	for _, t := range r.c.Tokens {
		if c.Issuer != "" && c.Issuer == t.Issuer {
			return true
		}
	}
	return false
}
