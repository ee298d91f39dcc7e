package attack

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	token       = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	headerLine  = regexp.MustCompile("^(:?[!#$%&'*+.^_`|~0-9A-Za-z-]+):(?:[ \t]+(.*))?$")
	requestLine = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([^ ]+)$")
	statusLine  = regexp.MustCompile(`^([1-9][0-9][0-9])(?: +(.+))?$`)
	ruleID      = regexp.MustCompile(`^[a-z]+\.[a-z0-9]+(?:-[a-z0-9]+)*$`)
	hostName    = regexp.MustCompile(`^[a-zA-Z0-9.:\[\]_-]+$`)
)

// maxRepeat bounds what one repeated text may grow to.
const maxRepeat = 16 << 20

// errStop ends the parsing of a case whose error is already kept.
var errStop = errors.New("stop")

type parser struct {
	name  string
	lines []string
	at    int
	errs  []error
}

// Parse reads an attack file. It returns every mistake at once, each with the
// file's name and the line.
func Parse(name string, src []byte) ([]Case, error) {
	if !utf8.Valid(src) {
		return nil, fmt.Errorf("%s:1: not UTF-8", name)
	}
	p := &parser{name: name, lines: strings.Split(string(src), "\n")}
	for i, l := range p.lines {
		if strings.ContainsAny(l, "\r\x00") {
			p.at = i
			_ = p.fail("a control character; write it in @raw")
			return nil, errors.Join(p.errs...)
		}
	}
	var cases []Case
	for p.skip(); p.at < len(p.lines); p.skip() {
		c, err := p.parseCase()
		if err != nil {
			p.resume()
			continue
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 && len(p.errs) == 0 {
		_ = p.fail("no case")
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return cases, nil
}

func (p *parser) fail(format string, args ...any) error {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.name, min(p.at+1, len(p.lines)), fmt.Sprintf(format, args...)))
	return errStop
}

// skip passes over empty lines and remarks.
func (p *parser) skip() {
	for p.at < len(p.lines) && (p.blank() || strings.HasPrefix(p.lines[p.at], "##")) {
		p.at++
	}
}

// resume goes on at the next title after a mistake.
func (p *parser) resume() {
	for p.at++; p.at < len(p.lines); p.at++ {
		if strings.HasPrefix(p.lines[p.at], "# ") {
			return
		}
	}
}

// line returns the current line without spaces at its end, "" behind the last.
func (p *parser) line() string {
	if p.at >= len(p.lines) {
		return ""
	}
	return strings.TrimRight(p.lines[p.at], " \t")
}

func (p *parser) blank() bool { return p.line() == "" }

func isWant(line string) bool {
	return strings.HasPrefix(line, "->") || strings.HasPrefix(line, "=>")
}

func (p *parser) parseCase() (Case, error) {
	c := Case{File: p.name, Line: p.at + 1}
	var title []string
	for ; strings.HasPrefix(p.line(), "#"); p.at++ {
		if !strings.HasPrefix(p.line(), "##") {
			title = append(title, strings.Fields(p.line()[1:])...)
		}
	}
	if len(title) == 0 {
		return c, p.fail("want a title, a line that begins with \"# \"")
	}
	c.Title = strings.Join(title, " ")
	var app Answer
	for {
		var err error
		switch l := p.line(); {
		case strings.HasPrefix(l, "@") && l != "@raw":
			err = p.parseFlag(&c)
		case strings.HasPrefix(l, "<-"):
			err = p.parseAnswer(&app)
		default:
			return c, p.parseSteps(&c, app)
		}
		if err != nil {
			return c, err
		}
	}
}

func (p *parser) parseSteps(c *Case, app Answer) error {
	if c.Gateway && c.Library {
		return p.fail("@gateway and @library exclude each other")
	}
	if c.HTTP2 && c.Clear {
		return p.fail("@http2 and @clear exclude each other")
	}
	for {
		s, err := p.parseStep(app)
		if err != nil {
			return err
		}
		if s.Raw != nil && c.HTTP2 {
			return p.fail("@raw speaks HTTP/1 only")
		}
		c.Steps = append(c.Steps, s)
		app = Answer{}
		if p.line() != "@then" {
			return nil
		}
		for p.at++; strings.HasPrefix(p.line(), "<-"); {
			if err := p.parseAnswer(&app); err != nil {
				return err
			}
		}
	}
}

func (p *parser) parseFlag(c *Case) error {
	word, arg, _ := strings.Cut(p.line(), " ")
	arg = strings.TrimSpace(arg)
	if word == "@config" {
		return p.parseConfig(c, arg)
	}
	flags := map[string]*bool{"@live": &c.Live, "@gateway": &c.Gateway, "@library": &c.Library,
		"@http2": &c.HTTP2, "@clear": &c.Clear}
	switch f := flags[word]; {
	case f != nil && (arg != "" || *f):
		return p.fail("%s stands alone, and once", word)
	case f != nil:
		*f = true
	case word == "@host" && hostName.MatchString(arg) && c.Host == "":
		c.Host = arg
	case word == "@sni" && (arg == "" || hostName.MatchString(arg)) && !c.OtherSNI:
		c.SNI, c.OtherSNI = arg, true
	case word == "@account" && len(strings.Fields(arg)) > 0:
		words := strings.Fields(arg)
		c.Accounts = append(c.Accounts, Account{words[0], words[1:]})
	case word == "@account":
		return p.fail("@account wants a name")
	case word == "@host" || word == "@sni":
		return p.fail("%s wants one name, and stands once", word)
	default:
		return p.fail("unknown flag %q", word)
	}
	p.at++
	return nil
}

func (p *parser) parseConfig(c *Case, inline string) error {
	p.at++
	if inline != "" {
		c.Config += inline + "\n"
		return nil
	}
	first := p.line()
	indent := first[:len(first)-len(strings.TrimLeft(first, " "))]
	if indent == "" {
		return p.fail("@config wants YAML behind it, or indented on the lines below")
	}
	var block []string
	for ; p.at < len(p.lines); p.at++ {
		rest, ok := strings.CutPrefix(p.line(), indent)
		if !ok && !p.blank() {
			break
		}
		block = append(block, rest)
	}
	c.Config += strings.TrimRight(strings.Join(block, "\n"), "\n") + "\n"
	return nil
}

func (p *parser) parseAnswer(a *Answer) error {
	l := strings.TrimSpace(p.line()[2:])
	switch m := headerLine.FindStringSubmatch(l); {
	case strings.HasPrefix(l, "|"):
		text := strings.TrimPrefix(l[1:], " ")
		if a.HasBody {
			text = a.Body + "\n" + text
		}
		a.Body, a.HasBody = text, true
	case l == "panic":
		a.Panics = true
	case l == "cut":
		a.Cuts = true
	case statusLine.MatchString(l) && len(l) == 3 && a.Status == 0:
		a.Status, _ = strconv.Atoi(l)
	case strings.HasPrefix(l, "!") && token.MatchString(l[1:]):
		a.Absent = append(a.Absent, l[1:])
	case m != nil && m[1][0] != ':':
		a.Header = append(a.Header, Field{m[1], strings.TrimSpace(m[2])})
	default:
		return p.fail("want a status, \"Name: value\", \"!Name\", \"| text\", \"panic\" or \"cut\" behind <-")
	}
	p.at++
	return nil
}

func (p *parser) parseStep(app Answer) (Step, error) {
	s := Step{Line: p.at + 1, App: app}
	err := error(nil)
	if p.line() == "@raw" {
		err = p.parseRaw(&s)
	} else {
		err = p.parseRequest(&s)
	}
	if err != nil {
		return s, err
	}
	for p.at < len(p.lines) {
		l := p.line()
		switch {
		case l == "":
			if p.skip(); !isWant(p.line()) && p.line() != "@then" {
				return s, p.finish(&s)
			}
			continue
		case strings.HasPrefix(l, "->"):
			err = p.parseWant(&s, strings.TrimSpace(l[2:]))
		case strings.HasPrefix(l, "=>"):
			err = p.parseSeen(&s, strings.TrimSpace(l[2:]))
		default:
			return s, p.finish(&s)
		}
		if err != nil {
			return s, err
		}
		p.at++
	}
	return s, p.finish(&s)
}

func (p *parser) finish(s *Step) error {
	if len(s.Want) == 0 {
		return p.fail("want \"-> STATUS\" before this line")
	}
	return nil
}

func (p *parser) parseRequest(s *Step) error {
	m := requestLine.FindStringSubmatch(p.line())
	if m == nil {
		return p.fail("want a request, \"METHOD target\"")
	}
	s.Method, s.Target = m[1], m[2]
	for p.at++; p.at < len(p.lines) && !p.blank() && !isWant(p.line()); p.at++ {
		m := headerLine.FindStringSubmatch(p.line())
		if m == nil {
			return p.fail("want \"Name: value\", an empty line, or \"-> STATUS\"")
		}
		s.Header = append(s.Header, Field{m[1], strings.TrimSpace(m[2])})
	}
	if !p.blank() {
		return nil
	}
	var body []string
	for p.at++; p.at < len(p.lines) && !isWant(p.lines[p.at]); p.at++ {
		if strings.HasPrefix(p.lines[p.at], "#") {
			return p.fail("want \"-> STATUS\" before the next title")
		}
		body = append(body, p.lines[p.at])
	}
	s.Body = strings.TrimRight(strings.Join(body, "\n"), "\n")
	return nil
}

func (p *parser) parseRaw(s *Step) error {
	for p.at++; strings.HasPrefix(p.line(), "\""); p.at++ {
		rest := p.line()
		for rest != "" {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil || quoted[0] != '"' {
				return p.fail("want Go strings in double quotes")
			}
			text, _ := strconv.Unquote(quoted)
			part := Part{text, 1}
			rest = strings.TrimLeft(rest[len(quoted):], " ")
			if count, ok := strings.CutPrefix(rest, "* "); ok {
				digits, after, _ := strings.Cut(strings.TrimLeft(count, " "), " ")
				if part.N, err = strconv.Atoi(digits); err != nil || part.N < 1 || part.N*max(1, len(text)) > maxRepeat {
					return p.fail("want a small count behind *")
				}
				rest = strings.TrimLeft(after, " ")
			}
			s.Raw = append(s.Raw, part)
		}
	}
	if s.Raw == nil {
		return p.fail("want a Go string below @raw")
	}
	return nil
}
