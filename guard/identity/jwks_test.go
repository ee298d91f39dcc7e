package identity_test

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/identity"
	"hauberk.dev/store"
)

// running runs what the room does beside requests.
func running(t *testing.T, room *identity.Room) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- room.Principle().Run(ctx) }()
	return func() {
		cancel()
		<-done
	}
}

// holds waits until a file is what the room publishes.
func holds(t *testing.T, room *identity.Room, name string) {
	t.Helper()
	w := httptest.NewRecorder()
	room.JWKS().ServeHTTP(w, httptest.NewRequest("GET", "/jwks.json", nil))
	var got []byte
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got, _ = os.ReadFile(name); string(got) == w.Body.String() {
			if i, err := os.Stat(name); err != nil || i.Mode() != 0o644 {
				t.Errorf("%s: got %v (%v), want mode 0644", name, i.Mode(), err)
			}
			return
		}
	}
	t.Errorf("%s: got %q, want %s", name, got, w.Body)
}

func TestThePublicKeysAreWrittenForAnAppOfAnotherUser(t *testing.T) {
	for _, state := range []string{"", t.TempDir()} {
		folder := t.TempDir()
		one, two := filepath.Join(folder, "one.json"), filepath.Join(folder, "two.json")
		if err := os.WriteFile(one, []byte("of before"), 0o600); err != nil {
			t.Fatal(err)
		}
		room, err := identity.New(identity.Config{JWKS: one}, identity.Options{Dir: state})
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := os.ReadFile(one); string(text) != "of before" {
			t.Error("the file was written before the room runs: a check would do so too")
		}
		stop := running(t, room)
		holds(t, room, one)
		next, err := identity.New(identity.Config{JWKS: two}, identity.Options{Dir: state})
		if err != nil {
			t.Fatal(err)
		}
		next.Succeed(room)
		stop()
		stop = running(t, next)
		holds(t, next, two)
		stop()
		if left, _ := os.ReadDir(folder); len(left) != 2 {
			t.Errorf("got %v, want the two files and nothing beside them", left)
		}
	}
}

func TestAFileOfPublicKeysThatIsOfNoUseOrOpenStopsTheStart(t *testing.T) {
	dir, open := t.TempDir(), filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		filepath.Join(dir, "jwks.json"):            "in the state folder",
		filepath.Join(dir, "nowhere", "jwks.json"): "there is no folder",
		filepath.Join(open, "jwks.json"):           "everybody may write",
		filepath.Dir(link):                         "is not a file",
		link:                                       "is not a file",
		filepath.Join("/etc/passwd", "jwks.json"):  "identity.jwks: ",
	} {
		_, err := identity.New(identity.Config{JWKS: name}, identity.Options{Dir: dir})
		if err == nil || !strings.HasPrefix(err.Error(), "identity.jwks: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

func TestAPepperThatIsLostStopsTheStartUntilSomebodySaysSo(t *testing.T) {
	records := store.NewRecords()
	start := func(dir string) (*identity.Room, error) {
		return identity.New(identity.Config{}, identity.Options{Dir: dir, Records: records})
	}
	if _, err := start(t.TempDir()); err != nil {
		t.Fatalf("without any account: got %v", err)
	}
	g := open(t, identity.Config{}, identity.Options{Dir: t.TempDir(), Records: records})
	g.add(t, "bob")
	if _, err := start(t.TempDir()); err != nil {
		t.Fatalf("with an account that has no password: got %v", err)
	}
	const word = "correct horse battery xy"
	if code, got := g.admin(t, "POST /users/add", `{"user":"ada","password":"`+word+`"}`); code != 200 {
		t.Fatalf("got %d %v", code, got)
	}
	dir := t.TempDir()
	secrets := filepath.Join(dir, "identity", "secrets")
	for range 2 { // a refusal makes nothing that the next start takes for the secrets
		if _, err := start(dir); err == nil || !strings.Contains(err.Error(), secrets+" is not there") || !strings.Contains(err.Error(), secrets+".lost") {
			t.Fatalf("got %v, want an error that names the file and the way out", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(secrets), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secrets+".lost", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	room, err := start(dir)
	if err != nil {
		t.Fatalf("with the mark: got %v", err)
	}
	if _, err := os.Stat(secrets + ".lost"); !os.IsNotExist(err) {
		t.Errorf("got %v, want the mark gone: it would hide the next loss", err)
	}
	g.Room = room
	if code, got := g.admin(t, "POST /users/set-password", `{"user":"ada","password":"another horse battery xy"}`); code != 200 {
		t.Errorf("got %d %v, want a password that can be set anew", code, got)
	}
	if _, err := room.Verified(httptest.NewRequest("POST", "/", nil), "ada", "another horse battery xy"); err != nil {
		t.Errorf("got %v, want the new password right", err)
	}
}
