package identity

import (
	"context"
	"net/http"
	"path/filepath"
	"time"

	"hauberk.dev/guard/identity/account"
	"hauberk.dev/guard/identity/password"
	"hauberk.dev/store"
)

// visit is a session as administrators see it.
type visit struct {
	User    string    `json:"user"`
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Client  string    `json:"client,omitempty"`
	Device  string    `json:"device,omitempty"`
}

type visits struct {
	Sessions []visit `json:"sessions"`
	Next     string  `json:"next,omitempty"`
}

// listSessions returns those of one user, or of a page of users.
func (r *Room) listSessions(ctx context.Context, user, after string) (any, error) {
	out := visits{Sessions: []visit{}}
	if user == "" {
		page, err := r.book.List(ctx, after, store.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, a := range page {
			if err := r.visitsOf(ctx, a, &out); err != nil {
				return nil, err
			}
			if out.Next = a.ID; len(out.Sessions) >= store.MaxPage {
				return out, nil
			}
		}
		if len(page) < store.MaxPage {
			out.Next = ""
		}
		return out, nil
	}
	id, err := idOf(user)
	if err != nil {
		return nil, err
	}
	a, found, err := r.book.Fresh(ctx, id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, account.ErrUnknown
	}
	return out, r.visitsOf(ctx, a, &out)
}

func (r *Room) visitsOf(ctx context.Context, a *account.Account, out *visits) error {
	if r.o.Sessions.List == nil {
		return nil
	}
	list, err := r.o.Sessions.List(ctx, a.ID)
	for _, v := range list {
		out.Sessions = append(out.Sessions, visit{a.ID, a.Name, v.ID, v.Created, v.Seen, v.Client, v.Device})
	}
	return err
}

// endSessions ends one session of a user, or all.
func (r *Room) endSessions(ctx context.Context, q wish) (any, error) {
	id, err := idOf(q.User)
	if err != nil {
		return nil, err
	}
	if q.All == (q.ID != "") {
		return nil, administration.Deny("want the id of one session, or all, and not both")
	}
	if _, found, err := r.book.Fresh(ctx, id); err != nil || !found {
		return nil, joinUnknown(err)
	}
	ended := 0
	if q.All {
		// The epoch ends them for good, also those that are being made now.
		_, err := r.change(ctx, id, "all sessions ended by an administrator", new(string), func(*account.Account) error { return nil })
		return map[string]bool{"all": true}, err
	}
	if r.o.Sessions.End != nil {
		was, err := r.o.Sessions.End(ctx, id, q.ID)
		if err != nil {
			return nil, err
		}
		if was {
			ended = 1
			r.note(ctx, about(id, "one session ended by an administrator"))
		}
	}
	if ended == 0 {
		return nil, administration.Deny("the user has no session %q", q.ID).WithStatus(http.StatusNotFound)
	}
	return map[string]int{"ended": ended}, nil
}

func joinUnknown(err error) error {
	if err != nil {
		return err
	}
	return account.ErrUnknown
}

// listFile is where an imported list of passwords is.
func listFile(dir string) string { return filepath.Join(dir, "identity", "passwords") }

// importPasswords streams a list of passwords into the state folder; it holds
// at once.
func (r *Room) importPasswords(w http.ResponseWriter, req *http.Request) {
	if r.o.Dir == "" {
		reply(w, req, nil, administration.Deny("there is no state directory to keep the list in"))
		return
	}
	// A long list takes longer than the socket gives to a question.
	c := http.NewResponseController(w)
	c.SetReadDeadline(time.Time{})
	c.SetWriteDeadline(time.Time{})
	made, err := password.Import{Shortest: password.MinWithMore}.File(req.Context(), req.Body, listFile(r.o.Dir))
	if err != nil {
		reply(w, req, nil, administration.Deny("%w", err))
		return
	}
	if err := r.readLists(); err != nil {
		reply(w, req, nil, err)
		return
	}
	r.note(req.Context(), changed.Noted("a list of %d passwords was imported", made.Passwords))
	reply(w, req, map[string]uint64{"lines": made.Lines, "skipped": made.Skipped, "passwords": made.Passwords}, nil)
}
