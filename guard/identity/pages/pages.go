// Package pages draws the pages of room identity: sign-in, sign-out, the
// password again, the account, the first administrator.
//
// They are text and forms. They need no script, no font and no second request
// but the logo, so their policy can refuse everything: whoever finds a hole in
// a text still cannot run anything, and a browser of any age can use them.
package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed html/*.html style.css en.json
var files embed.FS

// Config is how the pages look and what they say. Its zero value is plain
// English without a logo.
type Config struct {
	// Name is what people call the site.
	Name string
	// Logo is the content of a PNG or SVG file, at most MaxLogo bytes.
	Logo []byte
	// Texts is the content of a JSON file of texts that stand in place of the
	// English ones, at most MaxTexts bytes.
	Texts []byte
	// Accent and AccentDark are those of buttons and links, as "#rrggbb", on light
	// and on dark paper.
	Accent, AccentDark string
}

// Bounds of what a configuration hands over.
const (
	MaxLogo  = 64 << 10
	MaxTexts = 64 << 10
	maxName  = 80
)

// Set is the pages of one configuration. It never changes.
type Set struct {
	name   string
	style  template.CSS
	csp    string
	logo   *Logo
	texts  texts
	drawn  map[string]*template.Template
	styled string
}

// New reads a configuration and reports every mistake, each with its key.
func New(c Config) (*Set, error) {
	s := &Set{name: c.Name}
	var errs []error
	note := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	note("service", nameable(c.Name))
	var err error
	s.texts, err = readTexts(c.Texts)
	note("texts", err)
	s.logo, err = readLogo(c.Logo)
	note("logo", err)
	s.styled, err = paint(c.Accent, c.AccentDark)
	if err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(s.styled))
	s.style = template.CSS(s.styled)
	s.csp = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	return s, s.parse()
}

// nameable refuses a name that would break a title or hide another text.
func nameable(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("%d bytes: at most %d", len(name), maxName)
	}
	return printable(name)
}

// parse reads each page with the frame around it.
func (s *Set) parse() error {
	s.drawn = map[string]*template.Template{}
	for _, v := range views {
		t := template.New("frame.html").Option("missingkey=error").Funcs(template.FuncMap{
			"t": s.texts.say, "time": stamp, "iso": iso,
		})
		t, err := t.ParseFS(files, "html/frame.html", "html/parts.html", "html/"+v.page()+".html")
		if err != nil {
			return fmt.Errorf("page %s: %w", v.page(), err)
		}
		s.drawn[v.page()] = t
	}
	return nil
}

// CSP is the Content-Security-Policy of every page: its own style by digest,
// the logo, forms to this origin, and nothing else. More are the origins to
// which a form may lead by a redirect, since Chromium asks form-action there
// too.
func (s *Set) CSP(more ...string) string {
	if len(more) == 0 {
		return s.csp
	}
	return strings.Replace(s.csp, "form-action 'self'", "form-action 'self' "+strings.Join(more, " "), 1)
}

// Logo returns the logo, nil for none.
func (s *Set) Logo() *Logo { return s.logo }

// HTML draws a page.
func (s *Set) HTML(v View) (string, error) {
	var b strings.Builder
	err := s.drawn[v.page()].Execute(&b, frame{
		View: v, Name: s.name, Style: s.style, Logo: s.logo != nil, Problem: v.problem(),
	})
	if err != nil {
		return "", fmt.Errorf("draw page %s: %w", v.page(), err)
	}
	return b.String(), nil
}

// frame is what stands around every page.
type frame struct {
	View
	Name    string
	Style   template.CSS
	Logo    bool
	Problem *Problem
}

// stamp and iso write a time for people and for programs. It is in UTC and
// says so: the server does not know where the reader is.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }
