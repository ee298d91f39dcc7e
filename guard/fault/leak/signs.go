package leak

import (
	"bytes"
	"regexp"
)

// part says how much one match of a sign weighs.
type part int

const (
	alone part = iota // enough by itself
	frame             // two near each other, or one near a head
	head              // nothing without a frame
)

// group holds the parts of one trace together.
type group int

const (
	none group = iota
	node
	golang
	python
	php
	java
	dotnet
	ruby
	page
)

// groups only has a length.
var groups [page + 1]struct{}

// sign is one shape. literals, in lower case, are its gate: re is asked only
// about lines in which one of them stands.
type sign struct {
	kind     Kind
	name     string
	group    group
	part     part
	literals []string
	re       *regexp.Regexp
	// keep throws out what only looks like it; it is given the first group of
	// re, or the whole match.
	keep func([]byte) bool

	gate hits
}

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

// signs is every shape, automaton the gate of all their literals.
var signs, automaton = prepare(stacks(), messages(), paths(), secrets(), pages())

func prepare(lists ...[]sign) ([]sign, *machine) {
	var all []sign
	var literals []string
	number := map[string]int{}
	for _, list := range lists {
		for _, s := range list {
			for _, l := range s.literals {
				n, ok := number[l]
				if !ok {
					n = len(literals)
					number[l] = n
					literals = append(literals, l)
				}
				s.gate.set(n)
			}
			all = append(all, s)
		}
	}
	return all, compile(literals)
}

// stacks are frames and heads of traces, by language. The anonymous names in
// angle brackets have gone with the tags.
func stacks() []sign {
	script := []string{".js:", ".mjs:", ".cjs:", ".ts:", ".jsx:", ".tsx:", ".mts:", ".cts:", "node:internal", "at node:"}
	jvm := []string{".java:", ".kt:", ".scala:", ".groovy:", ".clj:", "(native method)", "(unknown source)"}
	return []sign{
		{kind: Stack, name: "node", group: node, part: frame, literals: script, keep: notWeb,
			re: re(`\bat (?:[\w$.#/\[\] ]*\()?((?:[^\s()"']+\.[cm]?[jt]sx?(?:\?[^\s:()]*)?|node:[\w/]+):\d{1,7}:\d{1,7})`)},
		{kind: Stack, name: "node", group: node, part: head, literals: []string{"error: ", "error [", "exception: "},
			re: re(`\b[A-Z]?[A-Za-z]*(?:Error|Exception)(?: \[\w+\])?: `)},
		{kind: Stack, name: "go", group: golang, part: frame, literals: []string{".go:"},
			re: re(`[\w./@~-]+\.go:\d{1,6} \+0x[0-9a-f]{1,16}`)},
		{kind: Stack, name: "go", group: golang, part: head, literals: []string{"goroutine ", "panic: "},
			re: re(`\bgoroutine \d+ \[[a-z ,0-9()]{2,}\]:|\bpanic: `)},
		{kind: Stack, name: "python", group: python, part: frame, literals: []string{`", line `},
			re: re(`\bFile "[^"]+", line \d{1,6}, in\b`)},
		{kind: Stack, name: "python", group: python, part: head, literals: []string{"traceback (most recent call last)"},
			re: re(`Traceback \(most recent call last\)`)},
		{kind: Stack, name: "php", part: alone, literals: []string{".php", ".phtml", ".inc"},
			re: re(`(?:[Ee]rror|Warning|Notice|Deprecated|Exception)\b.* in (?:/|[A-Z]:\\)[^\s"]+\.(?:php|phtml|inc)(?:\(\d+\))?(?: on line ?|:)\d`)},
		{kind: Stack, name: "php", part: alone, literals: []string{".php"},
			re: re(`"file": ?"[^"]+\.php", ?"line": ?\d`)},
		{kind: Stack, name: "php", group: php, part: frame, literals: []string{".php("},
			re: re(`#\d{1,3} [^\s"]+\.php\(\d{1,6}\): `)},
		{kind: Stack, name: "php", group: php, part: head, literals: []string{"stack trace:", "{main}"},
			re: re(`Stack trace:|#\d+ \{main\}`)},
		{kind: Stack, name: "java", group: java, part: frame, literals: jvm,
			re: re(`\bat [\w$./@-]{3,}\((?:[\w$-]+\.(?:java|kt|scala|groovy|clj):\d{1,6}|Native Method|Unknown Source)\)`)},
		{kind: Stack, name: "java", group: java, part: head, literals: []string{"exception", "caused by: ", "error: "},
			re: re(`Exception in thread "|Caused by: |\b(?:[a-z]\w*\.){1,10}[A-Z]\w*(?:Exception|Error)\b`)},
		{kind: Stack, name: "java", part: alone, literals: []string{"(through reference chain"},
			re: re(`\(through reference chain: [\w.$]{3,}\[`)},
		{kind: Stack, name: "dotnet", part: alone, literals: []string{":line "},
			re: re("\\bat [\\w.`+\\[\\],<>|]+\\([^)]*\\) in (?:[A-Za-z]:\\\\|/)[^:\"]+:line \\d")},
		{kind: Stack, name: "dotnet", group: dotnet, part: frame, literals: []string{"at system.", "at microsoft.", "at npgsql.", "at mysql."},
			re: re("\\bat (?:System|Microsoft|Npgsql|MySql)\\.[\\w.`+\\[\\],<>|]+\\([^)]*\\)")},
		{kind: Stack, name: "dotnet", group: dotnet, part: head, literals: []string{"exception: "},
			re: re(`\b(?:[A-Z]\w*\.){1,8}\w*Exception: `)},
		{kind: Stack, name: "ruby", group: ruby, part: frame, literals: []string{".rb:", ".erb:", ".ru:", ".haml:", ".rake:"},
			re: re("[\\w./@~-]+\\.(?:rb|erb|haml|ru|rake):\\d{1,6}:in [`'\"]")},
		{kind: Stack, name: "ruby", group: ruby, part: head, literals: []string{"error)", "exception)", "application trace", "full trace", "exception\":"},
			re: re(`\((?:\w+::){0,5}\w*(?:Error|Exception)\)|(?:Application|Full) Trace|"exception": ?"`)},
		{kind: Stack, name: "perl", part: alone, literals: []string{".pl line ", ".pm line ", ".cgi line ", ".psgi line "},
			re: re(`\bat [^\s"']+\.(?:pl|pm|cgi|psgi) line \d+(?:\.|,)`)},
		{kind: Stack, name: "rust", part: alone, literals: []string{"panicked at "},
			re: re(`\bthread '[^']+' (?:\(\d+\) )?panicked at `)},
	}
}

// notWeb keeps frames of the server: those of a browser's script carry URLs,
// and a page about them is no leak.
func notWeb(match []byte) bool {
	return !bytes.HasPrefix(match, []byte("http:")) && !bytes.HasPrefix(match, []byte("https:"))
}

// messages are what databases, their drivers and mappers say, in wordings that
// are fixed in their sources.
func messages() []sign {
	one := func(name, expr string, literals ...string) sign {
		return sign{kind: SQL, name: name, literals: literals, re: re(expr)}
	}
	return []sign{
		one("mysql", `error in your SQL syntax; check the manual that corresponds to your (?:MySQL|MariaDB)`, "error in your sql syntax"),
		one("mysql", `"?sqlMessage"?: ?["']|"?sqlState"?: ?["']`, "sqlmessage", "sqlstate\":", "sqlstate:"),
		one("mysql", `Unknown column '[^']+' in '(?:field list|where clause|order clause|on clause|group statement|having clause|SELECT|WHERE|ON|ORDER BY|GROUP BY)'`, "unknown column '"),
		one("mysql", `Table '[\w$-]+\.[\w$-]+' doesn't exist`, "doesn't exist"),
		one("mysql", `Duplicate entry '[^']*' for key '`, "duplicate entry '"),
		one("mysql", `\bER_[A-Z_]{4,}: `, "er_"),
		one("pdo", `SQLSTATE\[\w{5}\]`, "sqlstate["),
		one("postgresql", `(?i)syntax error at or near "`, "syntax error at or near \""),
		one("postgresql", `\b(?:relation|column|function|schema|type) "?[\w.$()," ]+"? (?:of relation "[^"]+" )?does not exist(?: at character \d|$|["'\\]| ?\(SQLSTATE|[ ,.;]{1,3}(?:LINE|HINT|position))`, "relation \"", "column \"", "does not exist at character", "does not exist (sqlstate"),
		one("postgresql", `duplicate key value violates unique constraint "|violates (?:foreign key|check|not-null) constraint`, "violates unique constraint \"", "violates foreign key constraint", "violates check constraint", "violates not-null constraint"),
		one("postgresql", `invalid input syntax for (?:type )?(?:integer|uuid|numeric|bigint|smallint|boolean|date|json|timestamp|double precision|real|inet)\b`, "invalid input syntax for"),
		one("postgresql", `\(SQLSTATE \w{5}\)|\bpsycopg2?\.errors\.\w|\bPG::\w{3,}\b|\borg\.postgresql\.util\.PSQLException|\bpq: (?:syntax|relation|column|duplicate|invalid|password|null)`, "(sqlstate ", "psycopg", "pg::", "org.postgresql.util", "pq: "),
		one("sqlite", `\bnear "[^"]*": syntax error`, "\": syntax error"),
		one("sqlite", `\bSQLITE_[A-Z]{3,}\b.{0,4}: |"SQLITE_[A-Z_]{3,}"|SQL logic error|\bsqlite3\.\w+Error|\bSQLite3::\w+Exception`, "sqlite_", "sql logic error", "sqlite3"),
		one("sqlite", `\bno such table: \w+`, "no such table: "),
		one("sqlite", `(?:UNIQUE|NOT NULL|FOREIGN KEY|CHECK|PRIMARY KEY) constraint failed(?:: \w+\.\w|$|["'\\ ])`, " constraint failed"),
		one("sqlserver", `Unclosed quotation mark (?:after|before) the character string|Incorrect syntax near (?:'|the keyword)|Invalid object name '|Conversion failed when converting`, "unclosed quotation mark ", "incorrect syntax near ", "invalid object name '", "conversion failed when converting"),
		one("sqlserver", `\b(?:System|Microsoft)\.Data\.SqlClient\.SqlException|Microsoft OLE DB Provider for|\[ODBC (?:Driver \d+ for )?SQL Server|\[Microsoft\]\[`, "sqlclient.sqlexception", "ole db provider for", "[odbc ", "[microsoft]["),
		one("oracle", `\bORA-\d{5}: `, "ora-"),
		one("mongodb", `E11000 duplicate key error|\bMongo(?:Server|Bulk|Network)?Error: |Cast to (?:ObjectId|Number|Date|Boolean|string|\[\w+\]) failed for value`, "e11000 duplicate key", "mongo", "cast to "),
		one("prisma", "PrismaClient\\w{5,}Error|Invalid `(?:[\\w.$]+\\.)?prisma\\.\\w+\\.\\w+\\(\\)` invocation", "prismaclient", "invalid `"),
		one("sequelize", `\bSequelize[A-Z]\w{3,}Error\b`, "sequelize"),
		one("hibernate", `\borg\.hibernate\.\w|could not (?:execute|prepare|extract) (?:query|statement|ResultSet)\b.*SQL \[|\bJDBCException`, "org.hibernate.", "could not execute", "could not prepare", "could not extract", "jdbcexception"),
		one("sqlalchemy", `\(?\b(?:sqlalchemy\.exc|django\.db\.utils|pymysql\.err|MySQLdb\._exceptions|asyncpg\.exceptions)\.\w|\[SQL: |Background on this error at: https://sqlalche\.me`, "sqlalchemy.exc", "django.db.utils", "pymysql.err", "mysqldb._exceptions", "asyncpg.exceptions", "[sql: ", "sqlalche.me"),
		one("activerecord", `\bActiveRecord::(?:StatementInvalid|RecordNotUnique|ConnectionNotEstablished)\b`, "activerecord::"),
		one("typeorm", `\bQueryFailedError\b`, "queryfailederror"),
		one("doctrine", `An exception occurred while executing (?:a query|'(?:SELECT|INSERT|UPDATE|DELETE))|Doctrine\\DBAL\\`, "an exception occurred while executing", `doctrine\dbal\`),
		one("statement", `"sql": ?"(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|select|insert into|update|delete from) `, "\"sql\":"),
	}
}
