package identity_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard/identity"
)

func TestTheAdministrationSaysWhatIsWrongAndChangesNothing(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	g.add(t, "ada")
	for _, c := range []struct {
		line, body string
		want       int
		text       string
	}{
		{"POST /users/add", `{"user":"ADA"}`, 409, "there is an account"},
		{"POST /users/add", `{"user":" x"}`, 400, "single spaces"},
		{"POST /users/add", `{"user":"x","password":"short"}`, 400, "too short"},
		{"POST /users/add", `{"user":"x","password":"aaaaaaaaaaaaaaaaaaaa"}`, 400, "again and again"},
		{"POST /users/add", `{"user":"x","roles":["a b"]}`, 400, "role"},
		{"POST /users/add", `{"user":"x","admin":true}`, 400, "unknown field"},
		{"POST /users/add", `{"user":"x"}{}`, 400, "more than one"},
		{"POST /users/add", `[]`, 400, "the body"},
		{"POST /users/disable", `{"user":"nobody"}`, 404, "no such account"},
		{"POST /users/set-password", `{"user":"ada","password":""}`, 400, "too short"},
		{"POST /users/roles", `{"user":"ada"}`, 400, "[] for none"},
		{"POST /users/edit", `{"user":"ada"}`, 400, "want email or tenant"},
		{"POST /users/edit", `{"user":"nobody","tenant":"blue"}`, 404, "no such account"},
		{"POST /users/edit", `{"user":"ada","tenant":"a\u0000b"}`, 400, "tenant"},
		{"POST /sessions/end", `{"user":"ada"}`, 400, "not both"},
		{"POST /sessions/end", `{"user":"ada","id":"s9"}`, 404, "no session"},
		{"POST /passwords/import", `x`, 400, "no state directory"},
		{"GET /users/add", ``, 404, "there is no"},
		{"DELETE /users", ``, 404, "there is no"},
	} {
		if code, got := g.admin(t, c.line, c.body); code != c.want || !strings.Contains(got["detail"].(string), c.text) {
			t.Errorf("%s %s: got %d %v, want %d and %q", c.line, c.body, code, got, c.want, c.text)
		}
	}
	_, got := g.admin(t, "GET /users", "")
	if n := len(got["users"].([]any)); n != 1 {
		t.Errorf("got %d accounts, want 1", n)
	}
	if text, _ := json.Marshal(got); bytes.Contains(text, []byte("argon2")) {
		t.Errorf("got a hash in %s", text)
	}
}

func TestAnotherTenantIsOtherRightsAndAnotherAddressIsNot(t *testing.T) {
	g := open(t, identity.Config{}, identity.Options{})
	id, _ := g.add(t, "ada", "editor")
	was := grantOf(t, g.Room, id)
	code, got := g.admin(t, "POST /users/edit", `{"user":"ada","email":"ada@example.com"}`)
	if code != 200 || got["email"] != "ada@example.com" || got["tenant"] != nil || !g.Unchanged(t.Context(), was) {
		t.Errorf("an address: got %d %v, want it, and the same rights", code, got)
	}
	code, got = g.admin(t, "POST /users/edit", `{"user":"ada","tenant":"blue"}`)
	if code != 200 || got["email"] != "ada@example.com" || got["tenant"] != "blue" || g.Unchanged(t.Context(), was) {
		t.Errorf("a tenant: got %d %v, want both, and other rights", code, got)
	}
	if e := g.last(); e.Rule.ID != "identity.account-changed" || !strings.Contains(e.Detail, `tenant set to "blue"`) {
		t.Errorf("got %s %q, want the change told", e.Rule.ID, e.Detail)
	}
	if code, got = g.admin(t, "POST /users/edit", `{"user":"ada","tenant":"","email":""}`); code != 200 || got["tenant"] != nil || got["email"] != nil || !g.Unchanged(t.Context(), was) {
		t.Errorf("taken away: got %d %v, want neither, and the rights of before", code, got)
	}
}

func TestAListOfPasswordsHoldsAtOnceAndAfterARestart(t *testing.T) {
	dir := t.TempDir()
	g := open(t, identity.Config{}, identity.Options{Dir: dir})
	const word = "nobody would ever guess this"
	if code, got := g.admin(t, "POST /passwords/import", word+"\nanother one of these\n"); code != 200 || got["passwords"] != 2.0 {
		t.Fatalf("got %d %v, want 2 passwords", code, got)
	}
	again := open(t, identity.Config{}, identity.Options{Dir: dir})
	for _, g := range []*bench{g, again} {
		if code, got := g.admin(t, "POST /users/add", `{"user":"ada","password":"`+word+`"}`); code != 400 || !strings.Contains(got["detail"].(string), "list") {
			t.Errorf("got %d %v, want the password refused", code, got)
		}
	}
}

// linkToken makes a link and returns its token.
func linkToken(t *testing.T, g *bench) string {
	t.Helper()
	link, err := g.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, token, ok := strings.Cut(link, "https://own.test/.hauberk/first?token=")
	if !ok || len(token) != 43 {
		t.Fatalf("got %q, want a link with 256 bits", link)
	}
	return token
}

const longEnough = "a quite long one, 17"

func TestTheFirstLinkMakesOneAdministratorOnce(t *testing.T) {
	dir := t.TempDir()
	g := open(t, identity.Config{}, identity.Options{Dir: dir})
	stale, token := linkToken(t, g), linkToken(t, g)
	name := filepath.Join(dir, "identity", "first-administrator")
	text, err := os.ReadFile(name)
	if i, _ := os.Stat(name); err != nil || i.Mode().Perm() != 0o600 || !strings.Contains(string(text), token) {
		t.Errorf("got %q (%v, %v), want the link in a file of mode 0600", text, i.Mode(), err)
	}
	if _, err := g.Redeem(t.Context(), stale, "root", longEnough); err == nil {
		t.Error("got an administrator by a link that another took the place of")
	}
	if _, err := g.Redeem(t.Context(), token, "root", "short"); err == nil {
		t.Error("got an administrator with a weak password")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for _, who := range []string{"root", "boss", "eve", "mallory"} {
		wg.Go(func() {
			if a, err := g.Redeem(t.Context(), token, who, longEnough); err == nil {
				mu.Lock()
				defer mu.Unlock()
				made++
				if len(a.Roles) != 1 || a.Roles[0] != "admin" {
					t.Errorf("got roles %q, want admin", a.Roles)
				}
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("got %d administrators by one link, want 1", made)
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("got the file of the link left (%v), want it gone", err)
	}
	if link, err := g.First(t.Context()); err == nil {
		t.Errorf("got the link %q beside an administrator, want an error", link)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		if strings.Contains(e.Detail, token) {
			t.Errorf("got the token in the event %q", e.Detail)
		}
	}
}

func TestALinkThatLapsedIsGone(t *testing.T) {
	dir := t.TempDir()
	g := open(t, identity.Config{}, identity.Options{Dir: dir})
	linkToken(t, g)
	name := filepath.Join(dir, "identity", "first-administrator")
	g.Lapse(time.Now().Add(14 * time.Minute))
	if _, err := os.Stat(name); err != nil {
		t.Errorf("got %v after 14 minutes, want the file", err)
	}
	g.Lapse(time.Now().Add(16 * time.Minute))
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("got %v after 16 minutes, want no file", err)
	}
}

func TestSecretsThatCannotBeReadStopTheStart(t *testing.T) {
	dir := t.TempDir()
	open(t, identity.Config{}, identity.Options{Dir: dir})
	name := filepath.Join(dir, "identity", "secrets")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{{}, []byte(`{}`), whole[:len(whole)-9], bytes.Replace(whole, []byte(`"key":"`), []byte(`"key":"A`), 1)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.New(identity.Config{}, identity.Options{Dir: dir}); err == nil {
			t.Errorf("%q: got a room, want an error", text)
		}
		if now, _ := os.ReadFile(name); !bytes.Equal(now, text) {
			t.Error("the file was written over")
		}
	}
}

func FuzzAdmin(f *testing.F) {
	room, err := identity.New(identity.Config{}, identity.Options{URL: "https://own.test"})
	if err != nil {
		f.Fatal(err)
	}
	h := room.Admin()
	for _, path := range []string{"/users/add", "/users/roles", "/sessions/end", "/users/disable", "/users/enable"} {
		f.Add(path, `{"user":"ada","roles":["a"]}`)
		f.Add(path, `{"user":"ada","id":"x","all":true}`)
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#%\x00") || strings.Contains(body, "password") {
			return
		}
		r := httptest.NewRequest("POST", "/x", strings.NewReader(body))
		r.URL.Path = path
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s: got %d %s, want a refusal that helps", path, body, w.Code, w.Body)
		}
		if w.Code == http.StatusOK && !json.Valid(w.Body.Bytes()) {
			t.Errorf("got %q, want JSON", w.Body)
		}
	})
}
