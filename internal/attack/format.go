package attack

import (
	"fmt"
	"strconv"
	"strings"
)

// Format writes cases as an attack file. Parse reads them back as they were.
func Format(cases []Case) []byte {
	var b strings.Builder
	for i, c := range cases {
		if i > 0 {
			b.WriteByte('\n')
		}
		c.format(&b)
	}
	return []byte(b.String())
}

func (c Case) format(b *strings.Builder) {
	fmt.Fprintf(b, "# %s\n", c.Title)
	if c.Config != "" {
		b.WriteString("@config\n")
		for _, l := range strings.Split(strings.TrimRight(c.Config, "\n"), "\n") {
			b.WriteString(strings.TrimRight("  "+l, " ") + "\n")
		}
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{c.Live, "live"}, {c.Gateway, "gateway"}, {c.Library, "library"}, {c.HTTP2, "http2"}, {c.Clear, "clear"}} {
		if f.on {
			fmt.Fprintf(b, "@%s\n", f.name)
		}
	}
	if c.Host != "" {
		fmt.Fprintf(b, "@host %s\n", c.Host)
	}
	if c.OtherSNI {
		b.WriteString(strings.TrimRight("@sni "+c.SNI, " ") + "\n")
	}
	for _, a := range c.Accounts {
		fmt.Fprintf(b, "@account %s\n", strings.Join(append([]string{a.Name}, a.Roles...), " "))
	}
	for i, s := range c.Steps {
		if i > 0 {
			b.WriteString("@then\n")
		}
		s.format(b)
	}
}

func (s Step) format(b *strings.Builder) {
	s.App.format(b)
	switch {
	case s.Raw != nil:
		b.WriteString("@raw\n")
		for _, p := range s.Raw {
			b.WriteString(strconv.Quote(p.Text))
			if p.N != 1 {
				fmt.Fprintf(b, " * %d", p.N)
			}
			b.WriteByte('\n')
		}
	default:
		fmt.Fprintf(b, "%s %s\n", s.Method, s.Target)
		for _, f := range s.Header {
			b.WriteString(strings.TrimRight(f.Name+": "+f.Value, " ") + "\n")
		}
		b.WriteByte('\n')
		if s.Body != "" {
			b.WriteString(s.Body + "\n")
		}
	}
	for _, w := range s.Want {
		w.format(b)
	}
	if s.Nothing {
		b.WriteString("=> nothing\n")
	}
	for _, w := range s.Seen {
		if w.Method != "" {
			fmt.Fprintf(b, "=> %s %s\n", w.Method, w.Target)
		}
		formatParts(b, "=>", w.Header, w.Body)
	}
}

func (a Answer) format(b *strings.Builder) {
	if a.Status != 0 {
		fmt.Fprintf(b, "<- %d\n", a.Status)
	}
	for _, f := range a.Header {
		b.WriteString(strings.TrimRight("<- "+f.Name+": "+f.Value, " ") + "\n")
	}
	for _, n := range a.Absent {
		fmt.Fprintf(b, "<- !%s\n", n)
	}
	if a.HasBody {
		for _, l := range strings.Split(a.Body, "\n") {
			b.WriteString(strings.TrimRight("<- | "+l, " ") + "\n")
		}
	}
	if a.Panics {
		b.WriteString("<- panic\n")
	}
	if a.Cuts {
		b.WriteString("<- cut\n")
	}
}

func (w Want) format(b *strings.Builder) {
	if w.Closed {
		b.WriteString(strings.TrimRight("-> closed "+w.Rule, " ") + "\n")
	} else {
		b.WriteString(strings.TrimRight(fmt.Sprintf("-> %d %s", w.Status, w.Rule), " ") + "\n")
	}
	if w.Cut {
		b.WriteString("-> cut\n")
	}
	for _, e := range w.Events {
		fmt.Fprintf(b, "-> event %s\n", e)
	}
	formatParts(b, "->", w.Header, w.Body)
}

func formatParts(b *strings.Builder, arrow string, header []HeaderWant, body []TextWant) {
	for _, h := range header {
		switch {
		case h.Absent && h.Contains:
			fmt.Fprintf(b, "%s %s: !~ %s\n", arrow, h.Name, h.Value)
		case h.Absent:
			fmt.Fprintf(b, "%s !%s\n", arrow, h.Name)
		case h.Contains:
			fmt.Fprintf(b, "%s %s: ~ %s\n", arrow, h.Name, h.Value)
		default:
			b.WriteString(strings.TrimRight(arrow+" "+h.Name+": "+h.Value, " ") + "\n")
		}
	}
	for _, t := range body {
		mark := "|"
		if t.Absent {
			mark = "!|"
		}
		fmt.Fprintf(b, "%s %s %s\n", arrow, mark, t.Text)
	}
}
