package identity_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"hauberk.dev/guard/identity"
	"hauberk.dev/store"
)

// between is a store in which something happens just before the next write of
// an account, once.
type between struct {
	store.Records
	mu   sync.Mutex
	then func()
}

func (b *between) Put(ctx context.Context, r store.Record) (uint64, error) {
	b.mu.Lock()
	then := b.then
	if strings.HasPrefix(r.Key, "identity/user/") {
		b.then = nil
	} else {
		then = nil
	}
	b.mu.Unlock()
	if then != nil {
		then()
	}
	return b.Records.Put(ctx, r)
}

// An attacker who has stolen a password changes it without end, so that one
// change is always under way when an administrator takes the account back.
func TestAnAdministratorWinsOverAPasswordThatIsBeingChanged(t *testing.T) {
	const third = "a third password of some length"
	for what, ask := range map[string]string{
		"/users/set-password": fmt.Sprintf(`{"user": "ada", "password": %q}`, third),
		"/users/disable":      `{"user": "ada"}`,
		"/sessions/end":       `{"user": "ada", "all": true}`,
	} {
		t.Run(what, func(t *testing.T) {
			records := &between{Records: store.NewRecords()}
			g := newInner(t, identity.Config{}, "strict", records).listening(t)
			g.account(t, "ada", good)
			thief := g.visitor()
			thief.post(t, "/.hauberk/sign-in", "name", "ada", "password", good).wants(t, "sign-in", 303, "/", "")
			records.then = func() {
				r := httptest.NewRequest("POST", what, strings.NewReader(ask))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				g.room.Admin().ServeHTTP(w, r)
				if w.Code != 200 {
					t.Errorf("%s: got %d %s, want 200", what, w.Code, w.Body)
				}
			}
			thief.post(t, "/.hauberk/account/password", "password", good, "new", other, "again", other).
				wants(t, "the change", 303, "/.hauberk/sign-in?to=%2F.hauberk%2Faccount", "")
			thief.get(t, "/x").wants(t, "the thief", 200, "", "nobody sees")
			g.visitor().post(t, "/.hauberk/sign-in", "name", "ada", "password", other).wants(t, "the thief's password", 403, "", "")
			if what == "/users/set-password" {
				g.visitor().post(t, "/.hauberk/sign-in", "name", "ada", "password", third).wants(t, "the administrator's password", 303, "/", "")
			}
		})
	}
}
