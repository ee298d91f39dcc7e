package headers

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
)

const (
	// maxReports is how many reports of one request are read.
	maxReports = 16
	// maxText bounds each text that is kept of a report.
	maxText = 200
)

// violation is what is kept of a report.
type violation struct{ directive, disposition, page, blocked, source string }

// fields are the names of both formats: report-uri (CSP Level 2) with hyphens,
// and the Reporting API.
type fields struct {
	DocumentURI        string      `json:"document-uri"`
	BlockedURI         string      `json:"blocked-uri"`
	Violated           string      `json:"violated-directive"`
	Effective          string      `json:"effective-directive"`
	SourceFile         string      `json:"source-file"`
	Line               json.Number `json:"line-number"`
	DocumentURL        string      `json:"documentURL"`
	BlockedURL         string      `json:"blockedURL"`
	EffectiveDirective string      `json:"effectiveDirective"`
	Source             string      `json:"sourceFile"`
	LineNumber         json.Number `json:"lineNumber"`
	Disposition        string      `json:"disposition"`
	ReportOnly         bool        `json:"reportOnly"`
}

var errNoReport = errors.New("not the JSON of a report")

// parseReports reads either format. What is about another host, or about an
// extension of the browser, is left out.
func parseReports(body []byte, host string) ([]violation, error) {
	body = bytes.TrimSpace(body)
	var found []violation
	keep := func(v violation, page string, ok bool) {
		u, err := url.Parse(page)
		if !ok || err != nil || !strings.EqualFold(u.Host, host) || extension(v) {
			return
		}
		v.page = plain(u.EscapedPath())
		found = append(found, v)
	}
	if len(body) > 0 && body[0] == '[' {
		var list []struct {
			Type string `json:"type"`
			URL  string `json:"url"`
			Body fields `json:"body"`
		}
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, errNoReport
		}
		for i := 0; i < len(list) && i < maxReports; i++ {
			v, ok := list[i].Body.modern(list[i].Type)
			keep(v, list[i].URL, ok)
		}
		return found, nil
	}
	var one struct {
		Report *fields `json:"csp-report"`
	}
	if err := json.Unmarshal(body, &one); err != nil || one.Report == nil {
		return nil, errNoReport
	}
	f := one.Report
	directive, _, _ := strings.Cut(f.Effective, " ")
	if directive == "" {
		directive, _, _ = strings.Cut(f.Violated, " ")
	}
	v, ok := f.violation(directive, f.BlockedURI, f.SourceFile, f.Line)
	keep(v, f.DocumentURI, ok)
	return found, nil
}

// modern reads a report of the Reporting API; types that we never ask for are
// left out.
func (f *fields) modern(kind string) (violation, bool) {
	directive := f.EffectiveDirective
	switch kind {
	case "csp-violation":
	case "coep":
		directive = "cross-origin-embedder-policy"
	case "integrity-violation":
		directive = "integrity-policy"
		if f.Disposition == "" && f.ReportOnly {
			f.Disposition = "reporting"
		}
	default:
		return violation{}, false
	}
	return f.violation(directive, f.BlockedURL, f.Source, f.LineNumber)
}

func (f *fields) violation(directive, blocked, source string, line json.Number) (violation, bool) {
	v := violation{directive: directive, disposition: "enforce", blocked: plain(blocked), source: plain(source)}
	if f.Disposition == "report" || f.Disposition == "reporting" {
		v.disposition = "report"
	}
	if n, err := line.Int64(); err == nil && n > 0 && v.source != "" {
		v.source += ":" + strconv.FormatInt(n, 10)
	}
	return v, isDirective(directive)
}

// isDirective says that a name could be one: it stands in the event's text.
func isDirective(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 40
}

// extension says that the browser's own additions were stopped, which is
// nobody's business here.
func extension(v violation) bool {
	for _, text := range []string{v.blocked, v.source} {
		if scheme, _, _ := strings.Cut(text, ":"); strings.HasSuffix(scheme, "-extension") || scheme == "about" {
			return true
		}
	}
	return false
}
