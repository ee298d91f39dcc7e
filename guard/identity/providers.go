package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/oidc"
	"hauberk.dev/guard/identity/token"
)

var provider = &guard.Rule{
	ID: "identity.provider", Severity: guard.Medium, Status: http.StatusForbidden,
	Title: "this sign-in did not come to its end",
	Fix:   "the detail says at which check; begin again at the sign-in page, and look at identity.providers where it fails each time",
	CWE:   346, ASVS: []string{"10.1.2", "10.2.1", "10.2.2", "10.5.1", "10.5.2", "10.5.3"},
}

// openProviders makes the providers; without a key only to judge their settings.
func (r *Room) openProviders(key []byte) error {
	var errs []error
	r.providers, r.doors = nil, nil
	seen := map[string]bool{}
	for i, c := range r.c.Providers {
		at := fmt.Sprintf("identity.providers[%d]", i)
		o := oidc.Options{Path: at, Key: key, Keeper: keeper{r}}
		if seen[c.Name] {
			errs = append(errs, fmt.Errorf("%s.name: %q is listed twice", at, c.Name))
		}
		seen[c.Name] = true
		for role := range c.Roles {
			if err := account.CheckRole(role); err != nil {
				errs = append(errs, fmt.Errorf("%s.roles.%s: %w", at, role, err))
			}
		}
		p, err := oidc.New(c, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		label := c.Title
		if label == "" {
			label = c.Name
		}
		r.providers = append(r.providers, p)
		r.doors = append(r.doors, door{label: label, path: oidcPath + c.Name, issuer: c.Issuer})
	}
	return errors.Join(errs...)
}

// startAt sends a browser to a provider; one that is signed in, to prove it
// anew.
func (r *Room) startAt(i int, req *http.Request) (answer, error) {
	p, to := r.providers[i], r.way(req.URL.Query().Get("to"))
	begin := p.Start
	if guard.From(req.Context()).Subject != nil {
		begin = p.Again
	}
	at, cookies, err := begin(req, to)
	if err != nil {
		return answer{}, refusedBy(err)
	}
	return answer{to: at, cookies: cookies}, nil
}

// backFrom takes who comes back from a provider.
func (r *Room) backFrom(i int, req *http.Request) (answer, error) {
	p := r.providers[i]
	id, to, end, err := p.Finish(req.Context(), req)
	var ends []*http.Cookie
	if end != nil {
		ends = []*http.Cookie{end}
	}
	if err != nil {
		return answer{cookies: ends}, refusedBy(err)
	}
	x := guard.From(req.Context())
	if who := account.OIDCID(id.Issuer, id.Subject); id.Fresh && x.Subject != nil && x.Subject.ID != who {
		return answer{cookies: ends}, provider.Deny("%s was to confirm, and %s came back", x.Subject.ID, who)
	}
	a, err := r.arrive(req.Context(), p, id)
	if err != nil {
		return answer{cookies: ends}, err
	}
	if x.Subject != nil && x.Subject.ID != a.ID {
		// Two people at one browser: the second must not go on in the vault of
		// the first. Begin leaves it behind; the journal has who was there.
		x.Emit(signedIn.Noted("%s takes the place of %s", a.ID, x.Subject.ID))
	}
	g := a.Grant(id.AMR, proved(id.AuthTime, time.Now()))
	g.SID = id.SID
	g = r.linked(req, g)
	if g, err = r.begin(req, p, g, id.Refresh); err != nil {
		return answer{cookies: ends}, err
	}
	e := signedIn.Noted("%s by %s", a.Name, p.Name)
	e.User = a.ID
	x.Emit(e)
	at, err := r.lead(req, g, to)
	return answer{to: at, cookies: ends}, err
}

// proved is when a person proved who it is. A provider that does not say so may
// have asked last week: then nobody knows, and it is fresh for nothing. One whose
// clock is a little ahead means now.
func proved(at, now time.Time) time.Time {
	switch {
	case at.After(now.Add(token.Skew)):
		return time.Time{}
	case at.After(now):
		return now
	}
	return at
}

// arrive makes the account of a person, or brings it up to date.
func (r *Room) arrive(ctx context.Context, p *oidc.Provider, id oidc.Identity) (*account.Account, error) {
	want := account.Account{Name: presentable(id), Issuer: id.Issuer, Subject: id.Subject, Roles: id.Roles}
	if id.EmailVerified {
		// An address that no account here can have is no reason to stay out.
		if want.Email = id.Email; want.Check() != nil {
			want.Email = ""
		}
	}
	key := account.OIDCID(id.Issuer, id.Subject)
	a, found, err := r.book.Fresh(ctx, key)
	if err != nil {
		return nil, err
	}
	if !found {
		a, err = r.book.Add(ctx, want)
		if !errors.Is(err, account.ErrExists) {
			if err == nil {
				r.note(ctx, about(a.ID, "made at the first sign-in by %s", p.Name))
			}
			return a, err
		}
		if a, found, err = r.book.Fresh(ctx, key); err != nil || !found {
			return nil, joinUnknown(err)
		}
	}
	if a.Disabled {
		return nil, provider.Deny("account %s is disabled", a.ID)
	}
	// Roles are the provider's where a rule of it gives any, else the operator's.
	roles := a.Roles
	if len(p.Roles) > 0 {
		roles = slices.Compact(slices.Sorted(slices.Values(want.Roles)))
	}
	if a.Name == want.Name && a.Email == want.Email && slices.Equal(a.Roles, roles) {
		return a, nil
	}
	made, err := r.book.Change(ctx, key, func(now *account.Account) error {
		if now.Disabled {
			return provider.Deny("account %s is disabled", now.ID)
		}
		now.Name, now.Email, now.Roles = want.Name, want.Email, roles
		return nil
	})
	if err == nil && !slices.Equal(a.Roles, made.Roles) {
		r.note(ctx, about(made.ID, "roles set to %q by %s", made.Roles, p.Name))
	}
	return made, err
}

// presentable is a name that an account may have: the provider's, or what is
// left.
func presentable(id oidc.Identity) string {
	for _, name := range []string{strings.Join(strings.Fields(id.Name), " "), id.Email} {
		if account.CheckName(name) == nil {
			return name
		}
	}
	return "someone"
}

// refusedBy makes a refusal of what a provider's sign-in failed at.
func refusedBy(err error) error {
	var e *oidc.Error
	switch {
	case !errors.As(err, &e):
		return err
	case e.Reason == oidc.Unavailable:
		return provider.Deny("%w", err).WithStatus(http.StatusServiceUnavailable).With("Retry-After", "30")
	}
	return provider.Deny("%w", err)
}

// logoutAt is the provider whose back-channel logout has the path, -1 for none.
func (r *Room) logoutAt(path string) int {
	return slices.IndexFunc(r.doors, func(d door) bool { return path == d.path+"/logout" })
}

// serveLogout takes a back-channel logout: a provider says by a token, server to
// server, that somebody is no longer signed in there (OpenID Connect
// Back-Channel Logout 1.0, 2.5).
func (r *Room) serveLogout(i int, w http.ResponseWriter, req *http.Request) {
	if err := r.logout(i, req); err != nil {
		guard.Refuse(w, req, err)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}

func (r *Room) logout(i int, req *http.Request) error {
	if req.Method != http.MethodPost {
		return badForm.Deny("method %q", req.Method).In("method").WithStatus(http.StatusMethodNotAllowed).With("Allow", http.MethodPost)
	}
	f, err := form(req)
	if err != nil {
		return err
	}
	e, err := r.providers[i].Logout(req.Context(), f)
	if err != nil {
		var d *guard.Denial
		if err = refusedBy(err); errors.As(err, &d) && d.Code() < 500 {
			d.Status = http.StatusBadRequest
		}
		return err
	}
	if r.o.Sessions.EndOIDC == nil {
		return nil
	}
	n, err := r.o.Sessions.EndOIDC(req.Context(), e.Issuer, e.SID, e.Subject)
	if err != nil {
		return err
	}
	guard.From(req.Context()).Emit(changed.Noted("%s ended %d sessions", r.providers[i].Name, n))
	return nil
}
