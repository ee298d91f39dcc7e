package leak

import (
	"bytes"
	"strings"
)

// before is what may stand before a path that is a value: never a letter or a
// slash, which would make it the end of a URL.
const before = `(?:^|file://|[\s"'(=:\[,;` + "`" + `])`

// roots are folders of servers, which no router uses for pages.
const roots = `(?:/(?:var/(?:www|lib|task|app|log|opt)|usr/(?:local/|src/|lib/|share/|app/)|home/[\w.-]+|Users/[\w.-]+|root|private/(?:var|tmp)|etc|proc|opt/[\w.-]+|srv/[\w.-]+)/?|[A-Za-z]:\\[\w $().-]+\\)`

// paths are places in the server's file system, beside the complaint about
// them or so plain that no page would carry them.
func paths() []sign {
	return []sign{
		{kind: Path, name: "errno", literals: []string{"enoent", "eacces", "eisdir", "enotdir", "eperm: "},
			re: re(`\bE(?:NOENT|ACCES|ISDIR|NOTDIR|PERM): [a-z ]{5,}, \w{3,12} '([^']{2,})'`)},
		{kind: Path, name: "errno", literals: []string{"[errno "},
			re: re(`\[Errno \d{1,3}\] [A-Z][\w ]{3,}: '([^']{2,})'`)},
		{kind: Path, name: "open", literals: []string{"no such file or directory", "permission denied", "is a directory", "not a directory"},
			re: re(`\b(?:open|stat|lstat|read|mkdir|unlink|fork/exec|chdir) (/[^\s:"']{2,}): (?:no such file|permission denied|is a directory|not a directory)`)},
		{kind: Path, name: "missing", literals: []string{"no such file or directory", "failed to open stream", "could not find file", "could not find a part of the path", "filenotfound", "failed to lookup view", "cannot find module", "template", "cannot open", "can't open", "permission denied", "not a directory"},
			re: re(before + `(` + roots + `[^\s"'<>|?*:;,)]+)`)},
		{kind: Path, name: "source", literals: []string{"/var/", "/usr/", "/home/", "/users/", "/root/", "/private/", "/etc/", "/proc/", "/opt/", "/srv/", `:\`},
			keep: plainPath,
			re:   re(before + `(` + roots + `(?:[\w.@+~$ -]+[/\\])*[\w.@+~$-]+\.(?:py|php|rb|go|java|cs|[cm]?[jt]s|p[lm]|jar|war|so|dll|env|conf|ini|log|sqlite3?|db|pem|key|ya?ml|sql|jsp|aspx|twig|erb|ejs|pug))\b`)},
		{kind: Path, name: "modules", literals: []string{"/node_modules/", "/site-packages/", "/dist-packages/", "/vendor/bundle/", "/vendor/laravel/", "/vendor/symfony/", `\node_modules\`},
			re: re(before + `((?:/[\w.@+-]+)+/(?:node_modules|site-packages|dist-packages|vendor/bundle|vendor/laravel|vendor/symfony)/[\w.@+/-]{2,}|[A-Za-z]:\\[^\s"'<>|]*\\node_modules\\)`)},
	}
}

// plainPath throws out /opt/x.js and /home/x/app.js: what a browser loads may
// well be at such an address, and only modules() and the complaints tell it apart.
func plainPath(match []byte) bool {
	for _, ext := range []string{".js", ".mjs"} {
		if bytes.HasSuffix(match, []byte(ext)) {
			for _, root := range []string{"/opt/", "/srv/", "/home/", "/Users/"} {
				if bytes.HasPrefix(match, []byte(root)) {
					return bytes.Count(match, []byte("/")) >= 5
				}
			}
		}
	}
	return true
}

// secrets are shapes that are keys wherever they stand.
func secrets() []sign {
	return []sign{
		{kind: Secret, name: "private-key", literals: []string{"private key-----"},
			re: re(`-----BEGIN (?:[A-Z]{2,10} )?PRIVATE KEY-----`)},
		{kind: Secret, name: "connection", keep: realPassword,
			literals: []string{"postgres://", "postgresql://", "mysql://", "mariadb://", "mongodb://", "mongodb+srv://", "redis://", "rediss://", "amqp://", "amqps://", "mssql://", "sqlserver://", "ldap://", "ldaps://", "ftp://", "smtp://", "smtps://"},
			re:       re(`\b(?:postgres|postgresql|mysql|mariadb|mongodb|mongodb\+srv|rediss?|amqps?|mssql|sqlserver|ldaps?|ftp|smtps?)://[^\s:@/"'<>]*:([^\s@/"'<>]+)@[\w.-]`)},
		{kind: Secret, name: "aws", keep: notExample, literals: []string{"akia", "asia"},
			re: re(`\b((?:AKIA|ASIA)[0-9A-Z]{16})\b`)},
		{kind: Secret, name: "token", literals: []string{"ghp_", "gho_", "ghs_", "ghr_", "ghu_", "sk_live_", "rk_live_", "xoxb-", "xoxp-", "xoxa-"},
			re: re(`\b(?:gh[pousr]_[A-Za-z0-9]{36}|[sr]k_live_[0-9A-Za-z]{24}|xox[bpa]-\d{8,14}-[\w-]{10})`)},
		{kind: Secret, name: "environment", keep: realPassword,
			literals: []string{"database_url", "db_password", "secret_key", "app_key", "secret_access_key", "jwt_secret", "session_secret", "pgpassword", "root_password", "_token", "_password"},
			re:       re(`\b(?:DATABASE_URL|DB_PASSWORD|SECRET_KEY(?:_BASE)?|APP_KEY|AWS_SECRET_ACCESS_KEY|JWT_SECRET|SESSION_SECRET|STRIPE_SECRET_KEY|PGPASSWORD|(?:MYSQL|POSTGRES|REDIS|SMTP|MAIL)_(?:ROOT_)?PASSWORD|GITHUB_TOKEN|NPM_TOKEN)["']? ?(?:=>|=|:) ?["']?([^\s"',;<>&]{8,})`)},
	}
}

// realPassword throws out what documentation puts in the place of one.
func realPassword(match []byte) bool {
	p := strings.ToLower(string(match))
	if i := strings.LastIndex(p, "://"); i >= 0 { // the value is itself a URL
		_, p, _ = strings.Cut(p[i+3:], ":")
		p, _, _ = strings.Cut(p, "@")
		if p == "" {
			return false
		}
	}
	switch p {
	case "password", "pass", "passwd", "secret", "pwd", "pw", "mypassword", "undefined", "process.env":
		return false
	}
	for _, word := range []string{"your", "example", "changeme", "change-me", "change_me", "placeholder", "xxxx", "****", "[filtered]", "[redacted]", "redacted", "${", "{{", "$(", "getenv", "environ"} {
		if strings.Contains(p, word) {
			return false
		}
	}
	return strings.Trim(p, "*.x-_") != ""
}

func notExample(match []byte) bool { return !bytes.HasSuffix(match, []byte("EXAMPLE")) }

// pages are the debug pages of frameworks, by what their templates say.
func pages() []sign {
	one := func(name, expr string, literals ...string) sign {
		return sign{kind: Debug, name: name, literals: literals, re: re(expr)}
	}
	return []sign{
		one("django", `seeing this error because you have\s{1,3}DEBUG = True`, "debug = true"),
		one("werkzeug", `// Werkzeug Debugger|caught an exception in your WSGI application`, "// werkzeug debugger", "in your wsgi application"),
		one("rails", `Rails\.root: (?:/|[A-Z]:)|Action Controller: Exception caught`, "rails.root: ", "action controller: exception"),
		one("aspnet", `An unhandled exception (?:occurred|was generated) during the execution of the current web request`, "during the execution of the current web request"),
		one("aspnet", `Version Information:.{0,10}Microsoft \.NET Framework Version:`, "version information:"),
		one("phoenix", `\bPhoenix\.Router\.NoRouteError|\(Ecto\.NoResultsError\)`, "norouteerror", "ecto.noresultserror"),
		one("laravel", `\bIlluminate\\\\?(?:\w+\\\\?){1,6}\w|Whoops! There was an error\.`, `illuminate\`, "whoops! there was an error"),
		{kind: Debug, name: "symfony", group: page, part: head, literals: []string{"symfony exception"}, re: re(`Symfony Exception`)},
		{kind: Debug, name: "symfony", group: page, part: frame, literals: []string{`symfony\component\`}, re: re(`Symfony\\Component\\\w`)},
		one("phpinfo", `PHP Version ?\d+\.\d+\.\d+.*Configure Command|Configuration File \(php\.ini\) Path`, "configure command", "(php.ini) path"),
	}
}
