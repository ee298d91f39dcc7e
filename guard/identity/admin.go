package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/password"
	"hauberk.dev/store"
)

// maxWish bounds the body of one change.
const maxWish = 64 << 10

// administrator goes before strangers where passwords wait to be hashed.
var administrator = password.Client{Device: "administrator"}

// wish is what a change is told; each takes its own part of it.
type wish struct {
	User     string   `json:"user"`
	Roles    []string `json:"roles"`
	Email    *string  `json:"email"`
	Tenant   *string  `json:"tenant"`
	Password string   `json:"password"`
	ID       string   `json:"id"`
	All      bool     `json:"all"`
}

// row is an account as administrators see it: all but the hash.
type row struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Email    string    `json:"email,omitempty"`
	Issuer   string    `json:"issuer,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	Roles    []string  `json:"roles"`
	Tenant   string    `json:"tenant,omitempty"`
	Disabled bool      `json:"disabled"`
	Password bool      `json:"password"`
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
}

func rowOf(a *account.Account) row {
	return row{a.ID, a.Name, a.Email, a.Issuer, a.Subject, append([]string{}, a.Roles...), a.Tenant, a.Disabled, a.Hash != "", a.Created, a.Changed}
}

// Admin is the administration of accounts and sessions, JSON over HTTP. Who
// reaches it is an administrator: it belongs on a socket of the state folder,
// and nowhere else.
//
//	POST /users/add           {user, roles, email, tenant, password}
//	POST /users/disable       {user}
//	POST /users/enable        {user}
//	POST /users/set-password  {user, password}
//	POST /users/roles         {user, roles}, [] for none
//	POST /users/edit          {user, email, tenant}, what is left out stays
//	POST /users/first         {}
//	GET  /users?after=ID
//	GET  /sessions?user=NAME&after=ID
//	POST /sessions/end        {user, id} or {user, all}
//	GET  /jwks.json           the public keys of the assertion
//	POST /passwords/import    the list, a password or a SHA-1 a line
//
// A user is a name, or an ID as GET /users has it.
func (r *Room) Admin() http.Handler {
	mux := http.NewServeMux()
	for path, do := range map[string]func(context.Context, wish) (any, error){
		"/users/add": r.addUser, "/users/disable": r.disableUser, "/users/enable": r.enableUser,
		"/users/set-password": r.setUserPassword, "/users/roles": r.setUserRoles, "/users/edit": r.editUser, "/users/first": r.firstLink,
		"/sessions/end": r.endSessions,
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, req *http.Request) {
			var a wish
			if err := decodeWish(req, &a); err != nil {
				reply(w, req, nil, err)
				return
			}
			got, err := do(req.Context(), a)
			reply(w, req, got, err)
		})
	}
	mux.HandleFunc("GET /users", func(w http.ResponseWriter, req *http.Request) {
		got, err := r.listUsers(req.Context(), req.URL.Query().Get("after"))
		reply(w, req, got, err)
	})
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, req *http.Request) {
		q := req.URL.Query()
		got, err := r.listSessions(req.Context(), q.Get("user"), q.Get("after"))
		reply(w, req, got, err)
	})
	mux.HandleFunc("POST /passwords/import", r.importPasswords)
	mux.Handle("/jwks.json", r.JWKS())
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		guard.Refuse(w, req, administration.Deny("there is no %s %q here", req.Method, req.URL.Path).WithStatus(http.StatusNotFound))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		x := *guard.From(req.Context())
		x.Local = true // an administrator is told what is wrong
		if x.Sink == nil {
			x.Sink = r.record
		}
		mux.ServeHTTP(w, req.WithContext(guard.With(req.Context(), &x)))
	})
}

// decodeWish reads one JSON object with no member that nobody knows.
func decodeWish(req *http.Request, a *wish) error {
	if t, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return administration.Deny("want application/json").WithStatus(http.StatusUnsupportedMediaType)
	}
	d := json.NewDecoder(io.LimitReader(req.Body, maxWish))
	d.DisallowUnknownFields()
	if err := d.Decode(a); err != nil {
		return administration.Deny("the body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return administration.Deny("the body: more than one JSON value, or longer than %d bytes", maxWish)
	}
	return nil
}

// reply writes what came of it.
func reply(w http.ResponseWriter, req *http.Request, got any, err error) {
	if err != nil {
		guard.Refuse(w, req, explained(err))
		return
	}
	text, err := json.Marshal(got)
	if err != nil {
		guard.Refuse(w, req, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(append(text, '\n'))
}

// explained makes a refusal of what the one who asked can mend. The rest is ours.
func explained(err error) error {
	var denial *guard.Denial
	var weak *Weak
	var bad *account.Invalid
	switch {
	case errors.As(err, &denial):
		return err
	case errors.Is(err, account.ErrUnknown):
		return administration.Deny("%w", err).WithStatus(http.StatusNotFound)
	case errors.Is(err, account.ErrExists), errors.Is(err, store.ErrConflict), errors.Is(err, ErrAdministrator):
		return administration.Deny("%w", err).WithStatus(http.StatusConflict)
	case errors.As(err, &weak), errors.As(err, &bad), errors.Is(err, errProvider), errors.Is(err, password.ErrTooLong):
		return administration.Deny("%w", err)
	case errors.Is(err, password.ErrBusy):
		return crowded.Deny("%w", err).With("Retry-After", "10")
	}
	return err
}

// idOf is the ID of a user who is named by name or by ID.
func idOf(user string) (string, error) {
	if account.IsID(user) {
		return user, nil
	}
	folded, err := account.Fold(user)
	if err != nil {
		return "", err
	}
	return account.PasswordID(folded), nil
}

func (r *Room) addUser(ctx context.Context, q wish) (any, error) {
	a := account.Account{Name: q.User, Roles: q.Roles}
	q.describe(&a)
	if q.Password != "" {
		if err := a.Check(); err != nil {
			return nil, err
		}
		var err error
		if a.Hash, err = r.hash(ctx, administrator, q.User, a.Email, q.Password); err != nil {
			return nil, err
		}
	}
	made, err := r.book.Add(ctx, a)
	if err != nil {
		return nil, err
	}
	r.note(ctx, about(made.ID, "added, roles %q", made.Roles))
	return rowOf(made), nil
}

// edit is one change that an administrator asks for.
func (r *Room) edit(ctx context.Context, q wish, what string, but *string, edit func(*account.Account) error) (any, error) {
	id, err := idOf(q.User)
	if err != nil {
		return nil, err
	}
	a, err := r.change(ctx, id, what+" by an administrator", but, edit)
	if err != nil {
		return nil, err
	}
	return rowOf(a), nil
}

func (r *Room) disableUser(ctx context.Context, q wish) (any, error) {
	return r.edit(ctx, q, "disabled", new(string), func(a *account.Account) error {
		a.Disabled = true
		return nil
	})
}

func (r *Room) enableUser(ctx context.Context, q wish) (any, error) {
	return r.edit(ctx, q, "enabled", nil, func(a *account.Account) error {
		a.Disabled = false
		return nil
	})
}

func (r *Room) setUserRoles(ctx context.Context, q wish) (any, error) {
	if q.Roles == nil { // who forgets them must not take them all away
		return nil, administration.Deny("want roles, [] for none")
	}
	return r.edit(ctx, q, fmt.Sprintf("roles set to %q", q.Roles), nil, func(a *account.Account) error {
		a.Roles = q.Roles
		return nil
	})
}

// editUser changes what is said of a user. Another tenant is other rights.
func (r *Room) editUser(ctx context.Context, q wish) (any, error) {
	what := "e-mail address set"
	switch {
	case q.Email == nil && q.Tenant == nil:
		return nil, administration.Deny("want email or tenant")
	case q.Email == nil:
		what = fmt.Sprintf("tenant set to %q", *q.Tenant)
	case q.Tenant != nil:
		what = fmt.Sprintf("e-mail address set, tenant set to %q", *q.Tenant)
	}
	return r.edit(ctx, q, what, nil, func(a *account.Account) error {
		q.describe(a)
		return nil
	})
}

// describe puts into an account what q says of it.
func (q wish) describe(a *account.Account) {
	if q.Email != nil {
		a.Email = *q.Email
	}
	if q.Tenant != nil {
		a.Tenant = *q.Tenant
	}
}

func (r *Room) setUserPassword(ctx context.Context, q wish) (any, error) {
	id, err := idOf(q.User)
	if err != nil {
		return nil, err
	}
	was, found, err := r.book.Fresh(ctx, id)
	switch {
	case err != nil || !found:
		return nil, joinUnknown(err)
	case was.Issuer != "":
		return nil, errProvider
	}
	hash, err := r.hash(ctx, administrator, was.Name, was.Email, q.Password)
	if err != nil {
		return nil, err
	}
	a, err := r.change(ctx, id, "password set", new(string), func(a *account.Account) error {
		a.Hash = hash
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rowOf(a), nil
}

func (r *Room) firstLink(ctx context.Context, _ wish) (any, error) {
	link, err := r.First(ctx)
	return map[string]string{"url": link}, err
}

func (r *Room) listUsers(ctx context.Context, after string) (any, error) {
	page, err := r.book.List(ctx, after, store.MaxPage)
	if err != nil {
		return nil, err
	}
	out := struct {
		Users []row  `json:"users"`
		Next  string `json:"next,omitempty"`
	}{Users: []row{}}
	for _, a := range page {
		out.Users = append(out.Users, rowOf(a))
	}
	if len(page) == store.MaxPage {
		out.Next = page[len(page)-1].ID
	}
	return out, nil
}
