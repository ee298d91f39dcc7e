package vault

import "strings"

// Compile writes the Cookie header for the app: the jar's cookies, then those
// of the browser that d does not drop, each byte and their order kept. It
// returns how many were dropped, and whether all the others fit.
//
// The jar's come first. A browser's cookie before them could open a quoted
// string which some parsers read across the next ones, and have the app show a
// script what the vault keeps from it.
func Compile(sent []string, jar Jar, drop func(folded string) bool) (header string, dropped int, fits bool) {
	var b strings.Builder
	b.Grow(length(sent, jar))
	fits = true
	for i := range jar {
		if b.Len()+len(jar[i].Name)+len(jar[i].Value)+3 > MaxHeader {
			fits = false
			continue
		}
		separate(&b)
		b.WriteString(jar[i].Name)
		b.WriteByte('=')
		b.WriteString(jar[i].Value)
	}
	ours := b.Len() > 0
	for _, line := range sent {
		for piece := range strings.SplitSeq(line, ";") {
			if dropping(piece, drop) {
				dropped++
				continue
			}
			piece = strings.TrimPrefix(piece, " ")
			if piece == "" {
				continue
			}
			if ours && b.Len()+len(piece)+2 > MaxHeader {
				fits = false
				continue
			}
			separate(&b)
			b.WriteString(piece)
		}
	}
	return b.String(), dropped, fits
}

func separate(b *strings.Builder) {
	if b.Len() > 0 {
		b.WriteString("; ")
	}
}

// length is at least that of what Compile writes, MaxHeader at most.
func length(sent []string, jar Jar) int {
	n := 0
	for i := range jar {
		n += len(jar[i].Name) + len(jar[i].Value) + 3
	}
	for _, line := range sent {
		n += len(line) + 2
	}
	return min(n, MaxHeader)
}

// Names says whether Compile would drop any of the browser's cookies.
func Names(sent []string, drop func(folded string) bool) bool {
	for _, line := range sent {
		for line != "" {
			var piece string
			piece, line, _ = strings.Cut(line, ";")
			if dropping(piece, drop) {
				return true
			}
		}
	}
	return false
}

// dropping says whether a piece of a Cookie header reads, to any parser, as a
// cookie that is to be dropped. Some parsers separate cookies by commas too.
func dropping(piece string, drop func(string) bool) bool {
	for piece != "" {
		var part string
		part, piece, _ = strings.Cut(piece, ",")
		name, _, _ := strings.Cut(part, "=")
		if folded := Fold(name); folded != "" && drop(folded) {
			return true
		}
	}
	return false
}

// Fold brings a cookie's name to what the loosest of parsers would read: PHP
// decodes percent signs, writes dots and spaces as "_" and reads "a[b]" as a,
// ASP.NET ignores the case, older packages for Node trim white space of
// Latin-1 too. Two names that an app could mistake for each other are one.
func Fold(name string) string {
	if plain(name) {
		return name
	}
	name = decode(name)
	i, k := 0, len(name)
	for i < k && blank(name[i]) {
		i++
	}
	for k > i && blank(name[k-1]) {
		k--
	}
	name = name[i:k]
	if i := strings.IndexByte(name, '['); i > 0 {
		name = name[:i]
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c == '.' || c == ' ' || c == '+' || c == '[':
			return '_'
		}
		return c
	}, name)
}

// plain says that a name is what Fold makes of it.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// blank says what parsers take away around a name.
func blank(c byte) bool { return c <= ' ' || c == '"' || c == 0x7f || c == 0x85 || c == 0xa0 }

// decode undoes percent signs, once, and leaves what is none.
func decode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, a := hex(s[i+1])
			lo, b := hex(s[i+2])
			if a && b {
				out, i = append(out, hi<<4|lo), i+2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func hex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// Sent says whether a browser sent a cookie of exactly this name.
func Sent(sent []string, name string) bool {
	for _, line := range sent {
		for piece := range strings.SplitSeq(line, ";") {
			if got, _, _ := strings.Cut(piece, "="); trim(got) == name {
				return true
			}
		}
	}
	return false
}
