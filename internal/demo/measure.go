package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"hauberk.dev/internal/attack"
)

// attacks say what the attacker hopes for, so that each column of the table
// is a measurement of the same thing: whether he gets it. The folder is what
// the table promises of a case behind Hauberk. In stopped he does not get it;
// in later he still does, for the room that stops it is not built; innocent are
// visitors, who get what they came for. In compat are those that are stopped
// in the table and succeed behind what `serve --to` starts with, which are
// headers: compat and no limit that knows the login.
//
//go:embed attacks
var attacks embed.FS

// promise is what must be measured behind Hauberk.
type promise string

const (
	stopped  promise = "stopped"
	later    promise = "later"
	innocent promise = "innocent"
	compat   promise = "compat"
)

// row is one case with its two measurements.
type row struct {
	promise promise
	number  int // of the principle; 0 for the innocent
	c       attack.Case
	bare    outcome
	guarded outcome
	lenient outcome // behind headers: compat
}

// outcome is what came of a case at one door.
type outcome struct {
	// got says that the client got what the case hopes for.
	got bool
	// last is the last answer, why the first hope that failed.
	last attack.Response
	why  error
	ran  bool
}

// loadRows reads the demo's own attack files, in the order of the principles.
func loadRows(promises ...promise) ([]row, error) {
	var rows []row
	for _, p := range promises {
		files, err := fs.Glob(attacks, "attacks/"+string(p)+"/*.attack")
		if err != nil {
			return nil, err
		}
		for _, name := range files {
			src, err := fs.ReadFile(attacks, name)
			if err != nil {
				return nil, err
			}
			cases, err := attack.Parse(name, src)
			if err != nil {
				return nil, err
			}
			digits, _, _ := strings.Cut(path.Base(name), "-")
			number, _ := strconv.Atoi(digits)
			for _, c := range cases {
				rows = append(rows, row{promise: p, number: number, c: c})
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return a.number - b.number })
	return rows, nil
}

// measure plays all rows at one door.
func measure(ctx context.Context, rows []row, d attack.Door, into func(*row) *outcome) error {
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		res, err := attack.Replay(ctx, rows[i].c, d)
		o := outcome{got: err == nil, why: err, ran: true}
		if n := len(res.Responses); n > 0 {
			o.last = res.Responses[n-1]
		}
		*into(&rows[i]) = o
	}
	return nil
}

// kept says whether what was measured is what the table promises. On the bare
// app everybody gets what he came for.
func (r row) kept() error {
	if !r.bare.got {
		return fmt.Errorf("%q does not work on the bare app: %w", r.c.Title, r.bare.why)
	}
	switch {
	case r.promise == stopped && r.guarded.got:
		return fmt.Errorf("%q is to be stopped and works behind Hauberk", r.c.Title)
	case r.promise == stopped && !r.guarded.answered():
		return fmt.Errorf("%q was not answered behind Hauberk: %w", r.c.Title, r.guarded.why)
	case r.promise == later && !r.guarded.got:
		return fmt.Errorf("%q is said to work behind Hauberk and does not: %w", r.c.Title, r.guarded.why)
	case r.promise == innocent && !r.guarded.got:
		return fmt.Errorf("%q no longer works behind Hauberk: %w", r.c.Title, r.guarded.why)
	}
	return nil
}

// again says whether compat has the case in its own words.
func again(r row, rows []row) bool {
	return slices.ContainsFunc(rows, func(o row) bool { return o.promise == compat && o.c.Title == r.c.Title })
}

// keptLenient says the same of headers: compat, where visitors get what they
// come for and an attack gets what the folder says, and no more.
func (r row) keptLenient() error {
	switch {
	case r.promise == innocent && !r.lenient.got:
		return fmt.Errorf("%q no longer works behind headers: compat: %w", r.c.Title, r.lenient.why)
	case r.promise == stopped && r.lenient.got:
		return fmt.Errorf("%q is to be stopped and works behind headers: compat", r.c.Title)
	case r.promise == stopped && !r.lenient.answered():
		return fmt.Errorf("%q was not answered behind headers: compat: %w", r.c.Title, r.lenient.why)
	case r.promise == compat && !r.lenient.got:
		return fmt.Errorf("%q is said to work behind headers: compat and does not: %w", r.c.Title, r.lenient.why)
	}
	return nil
}

// answered says whether anything came back at all: a server that is down stops
// every attack and protects nobody.
func (o outcome) answered() bool { return o.last.Closed || o.last.Status != 0 }

// bareText says what the bare app did.
func (r row) bareText() string {
	switch {
	case r.promise == innocent && r.bare.got:
		return "works"
	case r.promise == innocent:
		return "fails"
	case r.bare.got:
		return "succeeds"
	}
	return "fails"
}

// guardedText says what came of it behind Hauberk, and by which rule.
func (r row) guardedText() string {
	o := r.guarded
	switch {
	case r.promise == innocent && o.got:
		return "works"
	case r.promise == innocent:
		return "fails"
	case o.got:
		return "succeeds  not built yet"
	case len(o.last.Rules) > 0 && o.last.Closed:
		return "refused   " + strings.Join(o.last.Rules, ", ")
	case len(o.last.Rules) > 0 && o.last.Status >= http.StatusInternalServerError:
		return fmt.Sprintf("hidden    %d %s", o.last.Status, strings.Join(o.last.Rules, ", "))
	case len(o.last.Rules) > 0:
		return fmt.Sprintf("refused   %d %s", o.last.Status, strings.Join(o.last.Rules, ", "))
	case o.last.Closed:
		return "refused   connection closed"
	}
	return strings.TrimRight(fmt.Sprintf("harmless  %d %s", o.last.Status, o.header()), " ")
}

// header is the first header that was not as the attacker hoped.
func (o outcome) header() string {
	var m *attack.Miss
	if errors.As(o.why, &m) {
		return m.Header
	}
	return ""
}
