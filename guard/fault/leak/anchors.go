package leak

// exact are anchors whose letter case counts.
// "#" at the end stands for a digit, "@" for a letter or digit.
var exact = []string{
	// Databases.
	"ER_DUP_", "ER_NO_", "ER_BAD_", "ER_PARSE_", "ER_ACCESS_", "ER_LOCK_", "ER_DATA_", "ER_ROW_", "ER_WRONG_", "ER_CANT_", "ER_NOT_", "ER_NON_",
	"ER_TRUNCATED_", "ER_UNKNOWN_", "ER_TABLE", "ER_CON_", "ER_SYNTAX", "ORA-0", "ORA-1", "ORA-2", "PG::@", "SQLSTATE", "E11000",
	// Folders of servers, as they are and with slashes that JSON escaped.
	"/var/www", "/var/lib", "/var/task", "/var/app", "/var/log", "/var/opt", "/usr/local/", "/usr/src/", "/usr/lib/", "/usr/share/", "/usr/app/",
	"/home/", "/Users/", "/root/", "/private/", "/etc/", "/proc/", "/opt/", "/srv/",
	`\/var\/`, `\/usr\/`, `\/home\/`, `\/Users\/`, `\/srv\/`, `\/opt\/`, `\/etc\/`,
	`:\Users`, `:\inetpub`, `:\Program`, `:\Windows`, `:\home`, `:\src`, `:\app`, `:\www`, `:\xampp`, `:\wamp`, `:\Site`, `:\work`, `:\dev`, `:\build`, `:\agent`,
	`:\\Users`, `:\\inetpub`, `:\\Program`, `:\\Windows`, `:\\home`, `:\\src`, `:\\app`, `:\\www`, `:\\xampp`, `:\\wamp`, `:\\Site`, `:\\work`, `:\\dev`, `:\\build`, `:\\agent`,
	"ENOENT", "EACCES", "EISDIR", "ENOTDIR", "EPERM", "[Errno ",
	// Secrets.
	"PRIVATE KEY-----", "AKIA@", "ASIA@", "ghp_@", "gho_@", "ghs_@", "ghr_@", "ghu_@", "sk_live_", "rk_live_", "xoxb-", "xoxp-", "xoxa-",
	"DATABASE_URL", "DB_PASSWORD", "SECRET_KEY", "APP_KEY", "SECRET_ACCESS_KEY", "JWT_SECRET", "SESSION_SECRET", "PGPASSWORD", "_PASSWORD", "GITHUB_TOKEN", "NPM_TOKEN",
	// What wraps a line number.
	`"line":`, "line&quot;:", "in <b>/", "panicked at ", "Native Method", "Unknown Source",
}

// folded are anchors in lower case, whose letter case does not count.
var folded = []string{
	// Frames of traces.
	".js:#", ".ts:#", ".jsx:#", ".tsx:#", ".mjs:#", ".cjs:#", ".mts:#", ".cts:#", "node:internal", "at node:", ".go:#", ", line #", ".php(#", ".php:#", "on line",
	".java:#", ".kt:#", ".scala:#", ".groovy:#", ".clj:#", "(through reference chain", ":line ", "at system.", "at microsoft.", "at npgsql.", "at mysql.",
	".rb:#", ".erb:#", ".ru:#", ".haml:#", ".rake:#", ".pl line ", ".pm line ", ".cgi line ", ".psgi line ", "cgi line", "{main}", "traceback (most",
	// Databases and their drivers.
	"error in your sql syntax", "sqlmessage", "sqlstate", "unknown column", "t exist", "duplicate entry", "syntax error", "not exist", "violates ",
	"invalid input syntax", "psycopg", "org.postgresql", "pq: s", "pq: r", "pq: c", "pq: d", "pq: i", "pq: n", "pq: p", "sqlite_", "sqlite3", "sql logic error", "no such table", "constraint failed",
	"unclosed quotation mark", "incorrect syntax near", "invalid object name", "conversion failed when", "sqlexception", "ole db provider", "[odbc ", "[microsoft][",
	"mongo", "cast to ", "prismaclient", "invalid `", ".prisma", "sequelize", "org.hibernate", "could not e", "could not p", "jdbcexception",
	"sqlalchemy", "django.db.utils", "pymysql.err", "mysqldb._exc", "asyncpg.exc", "[sql: ", "sqlalche.me", "activerecord::", "queryfailederror",
	"while executing", "doctrine", `sql":"`, `sql": "`, "duplicate key",
	// Complaints about paths.
	"no such file or", "permission denied", "is a directory", "not a directory", "failed to open stream", "could not find file", "could not find a part",
	"filenotfound", "failed to lookup", "cannot find module", "cannot open", "can't open", "node_modules", "site-packages", "dist-packages", "vendor/",
	"templatenotfound", "templatedoesnotexist", "template error",
	// Connection strings.
	"postgres:", "postgresql:", "mysql:", "mariadb:", "mongodb:", "mongodb+srv:", "redis:", "rediss:", "amqp:", "amqps:", "mssql:", "sqlserver:",
	"ldap:", "ldaps:", "ftp:/", "ftp:\\", "smtp:", "smtps:",
	// Pages for developers.
	"debug = true", "werkzeug debugger", "wsgi application", "rails.root", "action controller: exc", "the current web request", "version information:",
	"norouteerror", "noresultserror", "illuminate", "whoops! there", "symfony exception", `symfony\component`, `symfony\\component`, "configure command", "(php.ini) path",
}
