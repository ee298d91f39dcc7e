package monitor

import (
	"strings"
)

// Passwords in texts have no form of their own, but places: before the "@" of
// a URL or of a driver's address, and behind the word that names them. What an
// app says of a connection that failed has them most often.
const maskedUser = "[userinfo]"

// credentials replaces user information in URLs, "postgres://bob:secret@db",
// and passwords of connection strings, "Password=secret;". Without one it costs
// no allocation.
func credentials(s string) string {
	if strings.Contains(s, "://") {
		s = userinfo(s)
	}
	for _, word := range passwordWords {
		if containsFold(s, word) {
			return passwords(s)
		}
	}
	return s
}

// userinfo masks what stands between "://" and the "@" before a host. A
// password that was not encoded may hold a slash: then no port follows the
// colon, and the "@" is looked for behind it.
func userinfo(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		i += len("://")
		b.WriteString(s[:i])
		s = s[i:]
		word := s[:until(s, " \t\r\n\"'`<>")]
		authority := word[:until(word, "/?#\\")]
		at := strings.LastIndexByte(authority, '@')
		if _, port, found := strings.Cut(authority, ":"); at < 0 && found && !strings.HasPrefix(authority, "[") && strings.Trim(port, "0123456789") != "" {
			at = strings.LastIndexByte(word, '@')
		}
		if at >= 0 {
			b.WriteString(maskedUser)
			s = s[at:]
		}
	}
}

// passwordWords are the names under which programs assign what nobody else may
// know. A longer one stands before the one that it begins with.
var passwordWords = [...]string{
	"password", "passwd", "pwd", "passphrase",
	"secret_access_key", "secretaccesskey", "secret_key", "secret-key", "secretkey", "secret",
	"api_key", "api-key", "apikey", "access_key", "access-key", "accesskey", "private_key", "privatekey",
	"access_token", "refresh_token", "id_token", "auth_token", "token", "connect.sid", "sessionid", "session_id",
}

// passwords masks what is assigned to a word for a password: "Password=x",
// "pwd='x y'", "password: 'x'", `"password":"x"`. A colon alone may be prose.
func passwords(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		n := 0
		for _, word := range passwordWords {
			if len(s)-i >= len(word) && strings.EqualFold(s[i:i+len(word)], word) {
				n = len(word)
				break
			}
		}
		if n == 0 {
			b.WriteByte(s[i])
			i++
			continue
		}
		from, to := assigned(s, i+n)
		b.WriteString(s[i:from])
		if to > from {
			b.WriteString("[password]")
		}
		i = to
	}
	return b.String()
}

// assigned returns where the value begins and ends that is assigned to the
// word before at; from and to are at where there is none.
func assigned(s string, at int) (from, to int) {
	i := blanks(s, quoted(s, at))
	if i >= len(s) || s[i] != '=' && s[i] != ':' {
		return at, at
	}
	colon := s[i] == ':'
	begin := blanks(s, i+1)
	if i = quoted(s, begin); i > begin {
		// JSON in JSON has its quotes behind backslashes, the last one too.
		quote, nested := s[i-1], s[begin] == '\\'
		for to = i; to < len(s) && s[to] != quote && s[to] != '\n' && !(nested && s[to] == '\\'); to++ {
			if s[to] == '\\' && to+1 < len(s) {
				to++
			}
		}
		return i, to
	}
	if colon {
		return at, at
	}
	return i, i + until(s[i:], " \t\r\n\"'`<>;&,)")
}

// quoted returns where s goes on behind a quote at i, with backslashes before
// it, and i where there is none.
func quoted(s string, i int) int {
	j := i
	for j < len(s) && s[j] == '\\' {
		j++
	}
	if j < len(s) && (s[j] == '"' || s[j] == '\'' || s[j] == '`') {
		return j + 1
	}
	return i
}

func blanks(s string, i int) int {
	for i < len(s) && s[i] == ' ' {
		i++
	}
	return i
}

// until returns where the first of stops stands in s, or its length.
func until(s, stops string) int {
	if i := strings.IndexAny(s, stops); i >= 0 {
		return i
	}
	return len(s)
}

// containsFold says whether s holds word, which is in lower case, in any case.
func containsFold(s, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		if s[i]|0x20 == word[0] && strings.EqualFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
