package account_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hauberk.dev/guard/identity/account"
	"hauberk.dev/store"
)

func TestNamesThatPeopleReadAsOneAreOne(t *testing.T) {
	for _, c := range []struct{ a, b string }{
		{"Ada", "ada"}, {"ADA", "ada"}, {"\u212Aelvin", "kelvin"}, {"Stra\u00dfe", "STRA\u1e9eE"}, {"\uff21da", "ada"},
		{"Jose\u0301", "JOS\u00c9"}, {"o\ufb01ce", "OFICE"}, {"Ada Lovelace", "ada lovelace"},
	} {
		a, errA := account.Fold(c.a)
		b, errB := account.Fold(c.b)
		if errA != nil || errB != nil || a != b {
			t.Errorf("%q and %q: got %q (%v) and %q (%v), want the same", c.a, c.b, a, errA, b, errB)
		}
	}
}

func TestANameThatNobodyCanTypeOrTellApartIsRefused(t *testing.T) {
	for _, name := range []string{
		"", " ada", "ada ", "a  b", "a\u00a0b", "a\tb", "a\nb", "a\x00", "a\u200bb", "a\u202eb", "\u0301a", "a\u3164", "a\ufe0f",
		"a\u2028b", "a\u00adb", "\xff", strings.Repeat("a", 65), "a\ue000", "u_" + strings.Repeat("a", 26), "a\u034fb",
	} {
		if folded, err := account.Fold(name); err == nil {
			t.Errorf("%q: got %q, want an error", name, folded)
		}
	}
	for _, name := range []string{"a", "ada@example.com", strings.Repeat("\u00e9", 64), "名前", "o'brien", "u_short", "🦊 fox"} {
		if _, err := account.Fold(name); err != nil {
			t.Errorf("%q: got %v, want none", name, err)
		}
	}
}

func TestTwoOfOneNameCannotBothBeAdded(t *testing.T) {
	book := account.NewBook(store.NewRecords())
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 16 {
		wg.Go(func() {
			name := "ada"
			if i%2 == 0 {
				name = "Ada"
			}
			_, err := book.Add(t.Context(), account.Account{Name: name})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !errors.Is(err, account.ErrExists) {
				t.Errorf("got %v, want ErrExists", err)
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("got %d accounts, want 1", made)
	}
}

func TestChangesAtOnceHappenOneAfterTheOther(t *testing.T) {
	book := account.NewBook(store.NewRecords())
	a, err := book.Add(t.Context(), account.Account{Name: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := book.Change(t.Context(), a.ID, func(a *account.Account) error { a.Epoch++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	now, _, err := book.Get(t.Context(), a.ID)
	if err != nil || now.Epoch != a.Epoch+8 {
		t.Errorf("got epoch %d (%v), want %d", now.Epoch, err, a.Epoch+8)
	}
}

func TestWhatThisProcessChangesHoldsAtOnceAndWhatAnotherChangesInFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := store.NewRecords()
		here, there := account.NewBook(records), account.NewBook(records)
		a, err := here.Add(t.Context(), account.Account{Name: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		disabled := func(b *account.Book) bool {
			a, found, err := b.Get(t.Context(), a.ID)
			if err != nil || !found {
				t.Fatalf("got %v, %v, want the account", found, err)
			}
			return a.Disabled
		}
		if disabled(here) || disabled(there) {
			t.Fatal("got a disabled account")
		}
		if _, err := here.Change(t.Context(), a.ID, func(a *account.Account) error { a.Disabled = true; return nil }); err != nil {
			t.Fatal(err)
		}
		if !disabled(here) {
			t.Error("here: got the account as it was, want the change")
		}
		time.Sleep(5 * time.Second)
		if !disabled(there) {
			t.Error("there: got the account as it was, want the change after 5s")
		}
	})
}

// faulty fails a write before or after it happens, as a process that is killed.
type faulty struct {
	store.Records
	before, after bool
}

var errKilled = errors.New("killed")

func (f *faulty) Put(ctx context.Context, r store.Record) (uint64, error) {
	if f.before {
		return 0, errKilled
	}
	v, err := f.Records.Put(ctx, r)
	if f.after {
		return 0, errKilled
	}
	return v, err
}

func TestAChangeThatIsCutOffLeavesTheOldOrTheNewAccount(t *testing.T) {
	for _, f := range []*faulty{{before: true}, {after: true}} {
		f.Records = store.NewRecords()
		ok := account.NewBook(f.Records)
		a, err := ok.Add(t.Context(), account.Account{Name: "ada", Hash: "old", Roles: []string{"b", "a", "b"}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.Roles, []string{"a", "b"}) {
			t.Errorf("got roles %q, want them sorted and once", a.Roles)
		}
		book := account.NewBook(f)
		book.Get(t.Context(), a.ID) // the cache must not outlive the failure
		if _, err := book.Change(t.Context(), a.ID, func(a *account.Account) error {
			a.Hash, a.Disabled = "new", true
			a.Epoch++
			return nil
		}); !errors.Is(err, errKilled) {
			t.Fatalf("got %v, want %v", err, errKilled)
		}
		now, _, err := book.Get(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		old := now.Hash == "old" && !now.Disabled && now.Epoch == a.Epoch
		changed := now.Hash == "new" && now.Disabled && now.Epoch == a.Epoch+1
		if old == changed || changed != f.after {
			t.Errorf("%+v: got %+v, want the old or the new one", f, now)
		}
	}
}

func TestAListComesInPages(t *testing.T) {
	book := account.NewBook(store.NewRecords())
	for i := range 25 {
		if _, err := book.Add(t.Context(), account.Account{Name: fmt.Sprint("user", i)}); err != nil {
			t.Fatal(err)
		}
	}
	seen, after := map[string]bool{}, ""
	for {
		page, err := book.List(t.Context(), after, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, a := range page {
			seen[a.Name], after = true, a.ID
		}
	}
	if len(seen) != 25 {
		t.Errorf("got %d accounts, want 25", len(seen))
	}
}

func TestARecordThatIsNoAccountRefuses(t *testing.T) {
	for _, text := range []string{``, `{}`, `{"id":"u_x","name":"ada"}`, `{"id":"ID","name":"ada","admin":true}`, `{"id":"ID","name":"ada"}{}`, `{"id":"ID","name":" "}`} {
		records := store.NewRecords()
		id := account.PasswordID("ada")
		if _, err := records.Put(t.Context(), store.Record{Key: "identity/user/" + id, Value: []byte(strings.ReplaceAll(text, "ID", id))}); err != nil {
			t.Fatal(err)
		}
		if _, found, err := account.NewBook(records).Get(t.Context(), id); found || err == nil {
			t.Errorf("%s: got an account or none, want an error", text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	id := account.PasswordID("ada")
	f.Add([]byte(`{"id":"` + id + `","name":"ada","roles":["a"],"epoch":1,"created":"2026-01-01T00:00:00Z","changed":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"id":"` + id + `","name":"ada","ROLES":["admin"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		records := store.NewRecords()
		if _, err := records.Put(t.Context(), store.Record{Key: "identity/user/" + id, Value: text}); err != nil {
			return
		}
		book := account.NewBook(records)
		a, found, err := book.Get(t.Context(), id)
		if err != nil {
			return
		}
		if !found || a.ID != id || a.Check() != nil {
			t.Errorf("got %+v (%v), want a whole account", a, found)
		}
		if _, err := book.Change(t.Context(), id, func(*account.Account) error { return nil }); err != nil {
			t.Errorf("got %v for the account written again, want none", err)
		}
	})
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"Ada", "\u212A", "\ufb01", "o'brien", "İ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		folded, err := account.Fold(name)
		if err != nil {
			return
		}
		if again, err := account.Fold(folded); err != nil || again != folded {
			t.Errorf("%q: got %q, and %q (%v) of that, want a form that stays", name, folded, again, err)
		}
	})
}
