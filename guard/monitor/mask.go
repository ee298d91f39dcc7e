package monitor

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean bounds s to max bytes and escapes what a terminal or a reader of the
// log could take for something else than text: control characters, C1 ones and
// those that turn the direction of writing. Ordinary text costs no allocation.
func clean(s string, max int) string {
	if len(s) > max {
		s = strings.ToValidUTF8(s[:max], "") + "…"
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return escape(s)
		}
	}
	return s
}

func escape(s string) string {
	var b strings.Builder
	for i, c := range s {
		switch {
		case c == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	return b.String()
}

// escapeText is clean for texts of several lines: line feeds and tabs stay.
func escapeText(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		parts := strings.Split(l, "\t")
		for j, p := range parts {
			parts[j] = clean(p, len(p))
		}
		lines[i] = strings.Join(parts, "\t")
	}
	return strings.Join(lines, "\n")
}

const (
	minHex   = 32 // 128 bits
	minToken = 16 // of one piece between - and _
)

// mask replaces what looks like a secret: signed tokens (JWT), long
// hexadecimal and random strings, e-mail addresses, user information and
// passwords. UUIDs and words stay. Without one it costs no allocation.
func mask(s string) string {
	s = credentials(s)
	var b *strings.Builder
	kept := 0 // of s, in b
	for i := 0; i < len(s); {
		if !isToken(s[i]) {
			i++
			continue
		}
		j := i
		for j < len(s) && isToken(s[j]) {
			j++
		}
		if word := verdictOn(s[i:j]); word != "" {
			if b == nil {
				b = &strings.Builder{}
			}
			b.WriteString(s[kept:i])
			b.WriteString(word)
			kept = j
		}
		i = j
	}
	if b == nil {
		return s
	}
	b.WriteString(s[kept:])
	return b.String()
}

// isToken says whether c may stand in a token or an address.
func isToken(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-_.@+~%=:", c) >= 0
}

// verdictOn returns what stands in the log in the place of run, "" for itself.
func verdictOn(run string) string {
	if len(run) < 6 {
		return ""
	}
	at := strings.IndexByte(run, '@')
	if at < 0 {
		at = strings.Index(run, "%40")
	}
	if at > 0 && isDomain(run[at+1:]) {
		return "[email]"
	}
	// A driver's address, "bob:secret@tcp(db:3306)".
	if at > 0 && run[at] == '@' && strings.Contains(run[:at], ":") {
		return maskedUser + run[at:]
	}
	if len(run) < minToken {
		return ""
	}
	if strings.HasPrefix(run, "eyJ") && strings.Count(run, ".") >= 1 {
		return "[token]"
	}
	for part := range strings.FieldsFuncSeq(run, func(c rune) bool {
		return c == '.' || c == '=' || c == ':' || c == '~' || c == '%' || c == '+' || c == '@'
	}) {
		if isSecret(part) {
			return "[token]"
		}
	}
	return ""
}

func isDomain(s string) bool {
	s = strings.TrimPrefix(s, "40")
	dot := strings.LastIndexByte(s, '.')
	if dot < 1 || len(s)-dot < 3 {
		return false
	}
	for i := dot + 1; i < len(s); i++ {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// isSecret says whether s is random: all hexadecimal and long, or a long piece
// in which small letters, capitals and digits alternate as no word does.
func isSecret(s string) bool {
	if len(s) >= minHex && strings.Trim(s, "0123456789abcdefABCDEF") == "" {
		return true
	}
	for piece := range strings.FieldsFuncSeq(s, func(c rune) bool { return c == '-' || c == '_' }) {
		if len(piece) >= minToken && isRandom(piece) {
			return true
		}
	}
	return false
}

func isRandom(s string) bool {
	classes, changes, last := 0, 0, 0
	for i := range len(s) {
		class := 1
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			class = 2
		case 'A' <= c && c <= 'Z':
			class = 4
		}
		classes |= class
		if class != last {
			changes++
		}
		last = class
	}
	switch classes {
	case 7:
		return changes >= 6
	case 3, 6: // digits with one case: base 32 and the like
		return len(s) >= 24 && changes >= 8
	}
	return false
}
