package attack

import (
	"strconv"
	"strings"
)

// parseWant reads what stands behind "->".
func (p *parser) parseWant(s *Step, l string) error {
	word, rest, _ := strings.Cut(l, " ")
	rest = strings.TrimSpace(rest)
	if m := statusLine.FindStringSubmatch(l); m != nil || word == "closed" {
		w := Want{Line: p.at + 1, Closed: m == nil, Rule: rest}
		if m != nil {
			w.Status, _ = strconv.Atoi(m[1])
		}
		if rest != "" && !ruleID.MatchString(rest) {
			return p.fail("want a rule like \"csrf.cross-origin\", got %q", rest)
		}
		s.Want = append(s.Want, w)
		return nil
	}
	if len(s.Want) == 0 {
		return p.fail("want \"-> STATUS\" or \"-> closed\" first")
	}
	w := &s.Want[len(s.Want)-1]
	switch {
	case l == "cut" && !w.Closed:
		w.Cut = true
		return nil
	case word == "event" && ruleID.MatchString(rest):
		w.Events = append(w.Events, rest)
		return nil
	case w.Closed:
		return p.fail("a closed connection has no header and no body")
	}
	return p.parseHeaderOrText(l, &w.Header, &w.Body)
}

// parseSeen reads what stands behind "=>".
func (p *parser) parseSeen(s *Step, l string) error {
	if l == "nothing" && len(s.Seen) == 0 {
		s.Nothing = true
		return nil
	}
	if s.Nothing {
		return p.fail("\"=> nothing\" stands alone")
	}
	if m := requestLine.FindStringSubmatch(l); m != nil && headerLine.FindString(l) == "" &&
		l[0] != '|' && !strings.HasPrefix(l, "!|") {
		s.Seen = append(s.Seen, Seen{Line: p.at + 1, Method: m[1], Target: m[2]})
		return nil
	}
	if len(s.Seen) == 0 {
		s.Seen = append(s.Seen, Seen{Line: p.at + 1})
	}
	seen := &s.Seen[len(s.Seen)-1]
	return p.parseHeaderOrText(l, &seen.Header, &seen.Body)
}

func (p *parser) parseHeaderOrText(l string, header *[]HeaderWant, body *[]TextWant) error {
	line := p.at + 1
	m := headerLine.FindStringSubmatch(l)
	switch rest, absent := strings.CutPrefix(l, "!"); {
	case strings.HasPrefix(rest, "|"):
		text := strings.TrimSpace(rest[1:])
		if text == "" {
			return p.fail("want a text behind |")
		}
		*body = append(*body, TextWant{line, text, absent})
	case absent && token.MatchString(rest):
		*header = append(*header, HeaderWant{Line: line, Name: rest, Absent: true})
	case m != nil && m[1][0] != ':' && m[1][0] != '!':
		value := strings.TrimSpace(m[2])
		part, contains := strings.CutPrefix(value, "~ ")
		lacks := strings.HasPrefix(value, "!~ ")
		if lacks {
			part = value[len("!~ "):]
		}
		*header = append(*header, HeaderWant{Line: line, Name: m[1], Value: strings.TrimSpace(part), Contains: contains || lacks, Absent: lacks})
	default:
		return p.fail("want a status, \"Name: value\", \"!Name\", \"| text\" or \"!| text\", got %q", l)
	}
	return nil
}
