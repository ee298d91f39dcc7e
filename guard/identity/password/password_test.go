package password_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"hauberk.dev/guard/identity/password"
)

// TestArgon2idIsThatOfOthers holds each computation against x/crypto and, where it is installed,
// Debian's argon2.
func TestArgon2idIsThatOfOthers(t *testing.T) {
	cli, _ := exec.LookPath("argon2")
	if cli == "" {
		t.Log("Debian's argon2 is not installed; x/crypto alone is asked")
	}
	room := password.Room(64)
	for _, c := range []struct {
		memory, passes uint32
		lanes          uint8
	}{{19456, 2, 1}, {8, 1, 1}, {9, 3, 1}, {37, 2, 1}, {46, 1, 1}, {1024, 1, 1}, {1000, 3, 2}, {4096, 4, 4}, {65536, 1, 1}} {
		for _, pw := range []string{"", "p", right, strings.Repeat("ü", 200)} {
			salt := "somesalt" + pw[:min(len(pw), 8)]
			got := hex.EncodeToString(password.Argon2id(room, pw, salt, c.memory, c.passes, c.lanes))
			if want := hex.EncodeToString(argon2.IDKey([]byte(pw), []byte(salt), c.passes, c.memory, c.lanes, 32)); got != want {
				t.Errorf("%+v %q: got %s, want %s as x/crypto", c, pw, got, want)
			}
			if cli == "" || pw == "" || len(pw) > 127 {
				continue // the tool takes 1 to 127 bytes
			}
			if want := fromCLI(t, cli, pw, salt, c.memory, c.passes, c.lanes); got != want {
				t.Errorf("%+v %q: got %s, want %s as Debian's argon2", c, pw, got, want)
			}
		}
	}
}

func fromCLI(t *testing.T, cli, pw, salt string, memory, passes uint32, lanes uint8) string {
	t.Helper()
	cmd := exec.Command(cli, salt, "-id", "-r", "-l", "32", "-k", fmt.Sprint(memory), "-t", fmt.Sprint(passes), "-p", fmt.Sprint(lanes))
	cmd.Stdin = strings.NewReader(pw)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// recorded was made by Debian's argon2 0~20171227:
//
//	printf %s PASSWORD | argon2 SALT -id -r -l 32 -k 19456 -t 2 -p 1
var recorded = []struct{ password, salt, want string }{
	{right, "somesaltsomesalt", "2123bb924bc5ce1d7d18cf2a07ba5ab4ddc2dd8f471ec8e55537c467d4fad346"},
	{"pässwörd auf deutsch", "0123456789abcdef", "fc4e375035a159d2e605c291bd7441c6972d1f83a132594c441c733629e8d7c2"},
}

func TestArgon2idIsWhatDebiansToolRecorded(t *testing.T) {
	for _, c := range recorded {
		if got := hex.EncodeToString(password.Argon2id(nil, c.password, c.salt, 19456, 2, 1)); got != c.want {
			t.Errorf("%q: got %s, want %s", c.password, got, c.want)
		}
	}
}

func TestVerifyTakesTheRightPasswordAlone(t *testing.T) {
	h := newHasher(t)
	c := from("192.0.2.1")
	stored, err := h.Hash(t.Context(), c, "crème brûlée für zwei") // NFC
	if err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct {
		name, stored, password string
		ok                     bool
	}{
		{"the same", stored, "crème brûlée für zwei", true},
		{"the same, decomposed", stored, "cre\u0300me bru\u0302le\u0301e fu\u0308r zwei", true},
		{"another case", stored, "Crème brûlée für zwei", false},
		{"cut short", stored, "crème brûlée für zwe", false},
		{"with a space behind", stored, "crème brûlée für zwei ", false},
		{"nothing", stored, "", false},
		{"a name that nobody has", "", "crème brûlée für zwei", false},
		{"too long", stored, strings.Repeat("a", 1<<20), false},
	} {
		ok, rehash, err := h.Verify(t.Context(), c, try.stored, try.password)
		if ok != try.ok || rehash || err != nil {
			t.Errorf("%s: got %t, %t, %v, want %t", try.name, ok, rehash, err, try.ok)
		}
	}
	if again, _ := h.Hash(t.Context(), c, "crème brûlée für zwei"); again == stored {
		t.Error("got the same record twice, want another salt")
	}
	if _, err := h.Hash(t.Context(), c, strings.Repeat("a", 257)); !errors.Is(err, password.ErrTooLong) {
		t.Errorf("257 characters: got %v, want ErrTooLong", err)
	}
	if _, err := h.Hash(t.Context(), c, strings.Repeat("😀", 256)); err != nil {
		t.Errorf("256 characters: got %v, want a record", err)
	}
}

func TestAPepperCanBeReplacedAndIsNeeded(t *testing.T) {
	old, next := newPepper("a"), newPepper("b")
	c := from("192.0.2.1")
	hasher := func(p ...password.Pepper) *password.Hasher {
		h, err := password.New(p, 1)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	stored, err := hasher(old).Hash(t.Context(), c, right)
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1,pep=a$") {
		t.Fatalf("got %q, %v", stored, err)
	}
	if ok, rehash, err := hasher(next, old).Verify(t.Context(), c, stored, right); !ok || !rehash || err != nil {
		t.Errorf("with a new pepper: got %t, %t, %v, want it right and to be made anew", ok, rehash, err)
	}
	if ok, rehash, _ := hasher(next, old).Verify(t.Context(), c, stored, "wrong"); ok || rehash {
		t.Errorf("a wrong one: got %t, %t, want neither", ok, rehash)
	}
	if ok, _, err := hasher(next).Verify(t.Context(), c, stored, right); ok || !errors.Is(err, password.ErrPepper) {
		t.Errorf("without the pepper: got %t, %v, want ErrPepper", ok, err)
	}
	other := newPepper("a")
	if ok, _, err := hasher(other).Verify(t.Context(), c, stored, right); ok || err != nil {
		t.Errorf("with another key of that id: got %t, %v, want no", ok, err)
	}
	for _, bad := range [][]password.Pepper{nil, {old, old}, {{ID: "a"}}, {{ID: "a$b", Key: old.Key}}, {{Key: old.Key}}} {
		if _, err := password.New(bad, 1); err == nil {
			t.Errorf("%v: got a hasher, want an error", bad)
		}
	}
}

func TestOldParametersAreMadeAnew(t *testing.T) {
	p := newPepper("a")
	h, err := password.New([]password.Pepper{p}, 1)
	if err != nil {
		t.Fatal(err)
	}
	stored := password.Stored(p, right, 12288, 3, 1)
	if ok, rehash, err := h.Verify(t.Context(), from("192.0.2.1"), stored, right); !ok || !rehash || err != nil {
		t.Errorf("got %t, %t, %v, want it right and to be made anew", ok, rehash, err)
	}
}

func TestAForgedRecordBuysNothing(t *testing.T) {
	h := newHasher(t)
	const rest = ",pep=a$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, bad := range []string{
		"$argon2id$v=19$m=4194304,t=2,p=1" + rest, "$argon2id$v=19$m=65536,t=8,p=1" + rest, "$argon2id$v=19$m=19456,t=0,p=1" + rest,
		"$argon2id$v=19$m=19456,t=2,p=255" + rest, "$argon2id$v=19$m=7,t=2,p=1" + rest, "$argon2id$v=19$m=019456,t=2,p=1" + rest,
		"$argon2id$v=19$m=+9456,t=2,p=1" + rest, "$argon2i$v=19$m=19456,t=2,p=1" + rest, "$argon2id$v=16$m=19456,t=2,p=1" + rest,
		"$argon2id$v=19$m=19456,t=2,p=1" + rest + "=", "$argon2id$v=19$m=19456,t=2,p=1" + rest[:len(rest)-1] + "B",
		"$argon2id$v=19$m=19456,t=2,p=1" + rest + "\n", "$2b$12$abc", "x", strings.Repeat("$", 300),
	} {
		if ok, _, err := h.Verify(t.Context(), from("192.0.2.1"), bad, right); ok || !errors.Is(err, password.ErrRecord) {
			t.Errorf("%q: got %t, %v, want ErrRecord", bad, ok, err)
		}
	}
}

func TestWhoGoesAwayLeavesTheQueue(t *testing.T) {
	h := newHasher(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.Verify(ctx, from("192.0.2.1"), "", right); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1,pep=a$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=4294967295,t=2,p=1,pep=a$AA$AA")
	f.Fuzz(func(t *testing.T, s string) {
		again, kib, ok := password.Parse(s)
		if ok && (again != s || kib > 256<<10) {
			t.Errorf("%q: got %q and %d KiB of work, want itself and a bound", s, again, kib)
		}
	})
}

// BenchmarkHash has one hash beside the bare function of x/crypto.
func BenchmarkHash(b *testing.B) {
	h := newHasher(b)
	stored, err := h.Hash(b.Context(), from("192.0.2.1"), right)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.Verify(b.Context(), from("192.0.2.1"), stored, right)
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			argon2.IDKey([]byte(right), []byte("saltsaltsaltsalt"), 2, 19456, 1, 32)
		}
	})
}
