package demo

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// principles are the fifteen, in the words of the table.
var principles = [...]string{1: "Input validation", "Authentication", "Authorization", "Session management",
	"Secure communication", "Error handling", "Secure headers", "CSRF protection", "Security updates",
	"Audits and penetration tests", "File uploads", "Rate limiting", "Database security", "Server hardening",
	"Monitoring and logging"}

// unmeasured says why a principle has no attack in the table.
var unmeasured = map[int]string{
	9:  "no attack to measure: not built yet",
	10: "no attack to measure: not built yet",
}

// The columns of the table, in characters.
const (
	titleWidth = 66
	bareWidth  = 11
)

type painter struct {
	out    io.Writer
	colour bool
}

func (p painter) paint(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p painter) green(s string) string  { return p.paint("32", s) }
func (p painter) red(s string) string    { return p.paint("31", s) }
func (p painter) yellow(s string) string { return p.paint("33", s) }
func (p painter) bold(s string) string   { return p.paint("1", s) }
func (p painter) dim(s string) string    { return p.paint("2", s) }

func (p painter) line(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// table prints all rows, grouped by principle, the innocent last.
func (p painter) table(rows []row, refused, recorded int) {
	p.line("%s", p.bold(pad("attack", titleWidth)+pad("bare app", bareWidth)+"behind Hauberk"))
	for number := 1; number < len(principles); number++ {
		p.line("%s", p.dim(fmt.Sprintf("%2d ", number))+p.bold(principles[number]))
		if why := unmeasured[number]; why != "" {
			p.line("   %s", p.dim(why))
		}
		for _, r := range rows {
			if r.number == number && r.promise != innocent {
				p.row(r)
			}
		}
		if number == 15 {
			p.recordRow(refused, recorded)
		}
	}
	p.line("%s", p.bold("   And the visitors"))
	for _, r := range rows {
		if r.promise == innocent {
			p.row(r)
		}
	}
	p.line("")
	p.summary(rows)
}

func (p painter) row(r row) {
	bare, guarded := p.red, p.green
	switch {
	case r.promise == innocent:
		if r.bare.got {
			bare = p.green
		}
		if !r.guarded.got {
			guarded = p.red
		}
	case r.guarded.got:
		guarded = p.yellow
	}
	if r.promise != innocent && !r.bare.got {
		bare = p.green
	}
	p.line("   %s%s%s", pad(r.c.Title, titleWidth-3), bare(pad(r.bareText(), bareWidth)), guarded(r.guardedText()))
}

// recordRow says how many of the refusals have an event that names them. The
// bare app refuses nothing, and so has nothing to record.
func (p painter) recordRow(refused, recorded int) {
	paint := p.green
	if recorded != refused {
		paint = p.red
	}
	p.line("   %s%s%s", pad("The refusals above, each found again by its incident id", titleWidth-3),
		p.red(pad("0", bareWidth)), paint(fmt.Sprintf("%d of %d", recorded, refused)))
}

func (p painter) summary(rows []row) {
	var total, bare, held, open, visitors, pleased int
	for _, r := range rows {
		switch {
		case r.promise == innocent:
			visitors++
			if r.bare.got && r.guarded.got {
				pleased++
			}
			continue
		case !r.guarded.got:
			held++
		default:
			open++
		}
		total++
		if !r.bare.got {
			bare++
		}
	}
	p.line("%d attacks, all measured just now: the bare app stops %d, Hauberk stops %s; %s wait for rooms that are not built yet.",
		total, bare, p.green(fmt.Sprint(held)), p.yellow(fmt.Sprint(open)))
	p.line("%d of %d visitors get the same at both doors.", pleased, visitors)
}

// compat says what would pass behind what `serve --to` starts with. A policy
// that stops inline scripts breaks apps that nobody has looked at yet, and only
// the operator knows where his app takes passwords: both are his to choose.
func (p painter) compat(rows []row) {
	p.line("Measured with `headers: strict`, and `ratelimit: 10/min` on POST /login. `hauberk serve --to` starts with")
	p.line("`headers: compat` and 300/min for all that writes, behind which, measured too:")
	var visitors, pleased, held int
	for _, r := range rows {
		switch {
		case r.promise == innocent:
			visitors++
			if r.lenient.got {
				pleased++
			}
		case r.lenient.got:
			p.line("   %s%s", pad(r.c.Title, titleWidth-3+bareWidth), p.yellow("succeeds"))
		case r.promise == stopped:
			held++
		}
	}
	p.line("   The other %d that the table stops are stopped, and %d of %d visitors get the same.", held, pleased, visitors)
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(1, width-utf8.RuneCountInString(s)))
}
