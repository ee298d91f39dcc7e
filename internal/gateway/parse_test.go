package gateway_test

import (
	"strings"
	"testing"

	"hauberk.dev/internal/gateway"
)

func TestAnUpstreamIsReadAsPeopleWriteIt(t *testing.T) {
	for _, row := range []struct {
		text, want string
		port       uint16
		here       bool
	}{
		{"3000", "http://localhost:3000", 3000, true},
		{"localhost:3000", "http://localhost:3000", 3000, true},
		{"LOCALHOST:3000", "http://LOCALHOST:3000", 3000, true},
		{"http://localhost:3000/", "http://localhost:3000", 3000, true},
		{"HTTP://localhost:3000", "http://localhost:3000", 3000, true},
		{"127.0.0.1:8080", "http://127.0.0.1:8080", 8080, true},
		{"127.9.9.9:8080", "http://127.9.9.9:8080", 8080, true},
		{"[::1]:8080", "http://[::1]:8080", 8080, true},
		{"http://[::1]", "http://[::1]", 80, true},
		{"app.internal", "http://app.internal", 0, false},
		{"192.0.2.7", "http://192.0.2.7", 80, false},
		{"https://app.internal", "https://app.internal", 0, false},
		{"https://app.internal:8443/", "https://app.internal:8443", 0, false},
		{"unix:/run/app.sock", "unix:/run/app.sock", 0, false},
		{"unix:/run/with space.sock", "unix:/run/with space.sock", 0, false},
	} {
		u, err := gateway.Parse(row.text)
		if err != nil {
			t.Errorf("Parse(%q): %v", row.text, err)
			continue
		}
		if got := u.String(); got != row.want {
			t.Errorf("Parse(%q): got %q, want %q", row.text, got, row.want)
		}
		if port, here := u.Loopback(); here != row.here || here && port != row.port {
			t.Errorf("Parse(%q).Loopback(): got %d, %t, want %d, %t", row.text, port, here, row.port, row.here)
		}
	}
}

func TestAnUpstreamThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", "0", "65536", "99999999999", "-1", ":", ":3000", "localhost:", "localhost:0", "localhost:65536", "localhost:http",
		"localhost:3000/app", "localhost:3000?x=1", "localhost:3000?", "localhost:3000#x", "localhost:3000#",
		"http://", "http:///app", "http://user@localhost:3000", "http://user:secret@localhost:3000", "@localhost:3000",
		"ftp://localhost", "ws://localhost:3000", "javascript://localhost", "://localhost", "http:localhost",
		"unix:", "unix:run/app.sock", "unix:./app.sock", "::1", "[::1", "http://a b", "http://a\x00b", "local host", "\x7f", "http://%zz",
	} {
		if u, err := gateway.Parse(text); err == nil {
			t.Errorf("Parse(%q): got %s, want an error", text, u)
		} else if !strings.Contains(err.Error(), "upstream ") || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("Parse(%q): got the error %q, want one line that says what", text, err)
		}
	}
}

// FuzzParse holds that what is read is written so that it is read again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"3000", "localhost:3000", "https://app.internal", "unix:/run/app.sock", "[::1]:80", "http://a\"b", "0", "http://a:b@c", "HTTP://A/", "[fe80::1%25lo]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := gateway.Parse(text)
		if err != nil {
			return
		}
		if strings.ContainsAny(u.String(), "@?#\r\n") && !strings.HasPrefix(text, "unix:") {
			t.Fatalf("Parse(%q) is %q", text, u)
		}
		again, err := gateway.Parse(u.String())
		if err != nil || again.String() != u.String() {
			t.Fatalf("Parse(%q) is %q, and that is %v, %v", text, u, again, err)
		}
	})
}
