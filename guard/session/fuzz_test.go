package session_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"hauberk.dev/guard/session"
)

// FuzzCookie holds the reading of the cookie against net/http's, which is more
// liberal: what we believe it must find once and with the same value.
func FuzzCookie(f *testing.F) {
	id := strings.Repeat("A", 43)
	for _, s := range []string{"", name + "=" + id, "a=b; " + name + "=" + id + ";c", name + "=" + id + "; " + name + "=", name + " =\t" + id, name, "=", `x="; ` + name + "=" + id + `"`} {
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{first, second}
		raw, found := session.IDOf(lines, name)
		h := http.Header{"Cookie": lines}
		session.WithoutOurs(h)
		for _, line := range h["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				key, _, _ := strings.Cut(pair, "=")
				if key = strings.Trim(key, " \t"); key == name || strings.HasPrefix(key, name+"-") || key == "hauberk" || strings.HasPrefix(key, "hauberk-") {
					t.Errorf("%q: %q goes up", lines, pair)
				}
			}
		}
		if found != 1 {
			if raw != [32]byte{} {
				t.Errorf("%q: an id although there is none to believe", lines)
			}
			return
		}
		text := base64.RawURLEncoding.EncodeToString(raw[:])
		if n := strings.Count(first+second, text); n < 1 {
			t.Errorf("%q: got %s, which does not stand there", lines, text)
		}
	})
}

// FuzzRecord reads any bytes as a record; what is read is written and read
// again alike.
func FuzzRecord(f *testing.F) {
	_, value := session.Stored([32]byte{1}, "u_a", time.Unix(1_800_000_000, 0).UTC())
	f.Add(value)
	f.Add([]byte{1, 2, '{', '}'})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		once, err := session.Reencode(b)
		if err != nil {
			return
		}
		twice, err := session.Reencode(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q: got %q (%v), want it to stay", once, twice, err)
		}
	})
}
