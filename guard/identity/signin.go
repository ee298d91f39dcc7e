package identity

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/password"
)

// verify says whose name and password these are. It is the one way in by a
// password: for sign-in, for the confirmation before a change, and for nothing
// else. A refusal is a Denial; what it says to the client, and what it costs,
// is the same for a name that nobody has, a wrong password, an account without
// a password and one that is disabled.
func (r *Room) verify(req *http.Request, name, given string) (*account.Account, error) {
	folded, err := account.Fold(name)
	if err != nil {
		folded = "\x00" // nobody's
	}
	id := account.PasswordID(folded)
	x := guard.From(req.Context())
	client := r.clientOf(req, id)
	attempt, wait := r.locks.throttle.Allow(folded, client.Addr, client.Device)
	if wait > 0 {
		return nil, guessing.Deny("wait %s", wait.Round(time.Second)).
			With("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	}
	// The store is asked for every name, and not the cache, so that its time
	// tells nothing.
	a, found, err := r.book.Fresh(req.Context(), id)
	stored := ""
	if found {
		stored = a.Hash
	}
	if err != nil {
		attempt.Dropped()
		return nil, err
	}
	ok, rehash, err := r.locks.hasher.Verify(req.Context(), client, stored, given)
	switch {
	case errors.Is(err, password.ErrBusy):
		attempt.Dropped()
		return nil, crowded.Deny("%w", err).With("Retry-After", "10")
	case errors.Is(err, password.ErrPepper) || errors.Is(err, password.ErrRecord):
		// Who asks must not learn that the name is somebody's.
		e := attached(signIn.Noted("%v", err), id)
		e.Verdict = guard.Failed
		x.Emit(e)
	case err != nil:
		attempt.Dropped()
		return nil, err
	}
	if !ok || a.Disabled {
		attempt.Failed()
		return nil, refused(found, ok)
	}
	attempt.Succeeded()
	if rehash {
		return r.rehash(req.Context(), client, a, given)
	}
	return a, nil
}

// clientOf is who asks for a hash, to an account.
func (r *Room) clientOf(req *http.Request, id string) password.Client {
	return password.Client{Addr: guard.From(req.Context()).Client, Device: r.locks.devices.Known(markOf(req), id)}
}

// refused is one refusal for all reasons; the journal alone has which it was.
func refused(found, ok bool) *guard.Denial {
	why := "no such name"
	switch {
	case ok:
		why = "the account is disabled"
	case found:
		why = "not the password"
	}
	d := signIn.Deny("name or password is not right")
	d.Attrs = []slog.Attr{slog.String("why", why)}
	return d
}

// rehash keeps the password under today's parameters. It ends no session.
func (r *Room) rehash(ctx context.Context, c password.Client, a *account.Account, given string) (*account.Account, error) {
	hash, err := r.locks.hasher.Hash(ctx, c, given)
	if err != nil {
		return a, nil // another time
	}
	made, err := r.book.Change(ctx, a.ID, func(now *account.Account) error {
		if now.Hash != a.Hash {
			return errors.New("the password was changed meanwhile")
		}
		now.Hash = hash
		return nil
	})
	if err != nil {
		return a, nil
	}
	return made, nil
}

// Weak is why a password cannot be set.
type Weak struct{ Reason password.Reason }

// Error says why, for operators. Pages have texts of their own.
func (w *Weak) Error() string { return reasons[w.Reason] }

var reasons = map[password.Reason]string{
	password.Short:    "the password is too short",
	password.Long:     "the password is longer than 256 characters",
	password.Invalid:  "the password is not UTF-8 text, or has control characters",
	password.Repeats:  "the password is a few characters again and again",
	password.Sequence: "the password is a walk along the alphabet or the keyboard",
	password.Context:  "the password is the name, the address or the site",
	password.Listed:   "the password is on a list of those that others use",
}

// checkPassword returns a *Weak where a password cannot be the account's.
func (r *Room) checkPassword(name, email, given string) error {
	hosts := append([]string{r.c.Service}, r.c.Password.Words...)
	p := password.Policy{Min: r.c.Password.Min, Lists: *r.lists.Load()}
	if why := p.Check(given, password.About{Name: name, Email: email, Hosts: append(hosts, r.o.Hosts...)}); why != "" {
		return &Weak{why}
	}
	return nil
}

// hash makes the record of a new password, once that is good enough.
func (r *Room) hash(ctx context.Context, c password.Client, name, email, given string) (string, error) {
	if err := r.checkPassword(name, email, given); err != nil {
		return "", err
	}
	return r.locks.hasher.Hash(ctx, c, given)
}

// replacePassword writes a new password for the account was, whose old one has
// just been verified. The same write ends all sessions of the account, and what
// follows only clears them away but for the one with the ID but, which the caller
// is to begin anew with the Grant of what is returned. What has ended them since
// the old one was read, an administrator's new password above all, wins: else who
// stole the old one and changes it without end would be left with the account.
func (r *Room) replacePassword(ctx context.Context, c password.Client, was *account.Account, but, given string) (*account.Account, error) {
	hash, err := r.hash(ctx, c, was.Name, was.Email, given)
	if err != nil {
		return nil, err
	}
	return r.change(ctx, was.ID, "password set", &but, func(a *account.Account) error {
		// change has counted on already.
		if a.Hash != was.Hash || a.Epoch != was.Epoch+1 || a.Disabled {
			d := nobody.Deny("the account was changed meanwhile")
			d.Remedy = signInPath + "?to=" + url.QueryEscape(accountPath)
			return d
		}
		a.Hash = hash
		return nil
	})
}

// errProvider is a password for an account that has none.
var errProvider = errors.New("the account is of a provider: it has no password here")

// change edits an account in one write, journals it, and clears its sessions
// away, but for one, where that write is to end them: but is nil where it is not.
func (r *Room) change(ctx context.Context, id, what string, but *string, edit func(*account.Account) error) (*account.Account, error) {
	a, err := r.book.Change(ctx, id, func(a *account.Account) error {
		if but != nil {
			a.Epoch++
		}
		return edit(a)
	})
	if err != nil {
		return nil, err
	}
	r.note(ctx, about(a.ID, "%s", what))
	if but != nil && r.o.Sessions.EndAll != nil {
		if _, err := r.o.Sessions.EndAll(ctx, a.ID, *but); err != nil {
			// They hold no longer all the same: their epoch is over.
			e := about(a.ID, "sessions are ended, but not cleared away: %v", err)
			e.Verdict = guard.Failed
			r.note(ctx, e)
		}
	}
	return a, nil
}

// about is an event about an account. Its ID is the event's user: in a text it
// would be masked as what looks like a secret.
func about(id, format string, args ...any) guard.Event {
	return attached(changed.Noted(format, args...), id)
}

func attached(e guard.Event, id string) guard.Event {
	e.User = id
	return e
}

// note journals an event, with the request where there is one.
func (r *Room) note(ctx context.Context, e guard.Event) {
	if x := guard.From(ctx); x.Sink != nil {
		x.Emit(e)
		return
	}
	r.record(e)
}

// markName is the cookie of a browser that has signed in before. It gives no
// access: it keeps who guesses from slowing down the one who knows.
func markName(secure bool) string {
	if secure {
		return "__Host-Http-hauberk-device"
	}
	return "hauberk-device"
}

func markOf(req *http.Request) string {
	c, err := req.Cookie(markName(guard.From(req.Context()).Secure))
	if err != nil {
		return ""
	}
	return c.Value
}

// mark is the cookie to set once an account has signed in.
func (r *Room) mark(req *http.Request, a *account.Account) *http.Cookie {
	secure := guard.From(req.Context()).Secure
	return &http.Cookie{
		Name: markName(secure), Value: r.locks.devices.Mark(markOf(req), a.ID), Path: "/",
		MaxAge: int(90 * 24 * time.Hour / time.Second), Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}
