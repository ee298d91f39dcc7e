package attack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hauberk.dev/guard"
)

// Timeout is how long one step of a case may take.
const Timeout = 10 * time.Second

// Result is what came of a case.
type Result struct {
	// Responses are the answers of all steps.
	Responses []Response
}

// Response is one answer as the client got it.
type Response struct {
	// Status is 0 where Closed.
	Status int
	Header http.Header
	Body   string
	// Closed says that no answer came, Cut that the body broke off.
	Closed, Cut bool
	// Rules are the rules that refused the request, Events those that were
	// noted.
	Rules, Events []string
}

// Miss is a want that was not met.
type Miss struct {
	File string
	Line int
	// Header is the name of the header that was wanted, or was not; "" where
	// the want was about something else.
	Header string
	Err    error
}

// Error returns the place and what was got.
func (m *Miss) Error() string { return fmt.Sprintf("%s:%d: %v", m.File, m.Line, m.Err) }

// Unwrap returns what was got.
func (m *Miss) Unwrap() error { return m.Err }

// Replay sends c to d. The error joins a Miss for every want that was not met;
// the result is valid as far as it goes.
func Replay(ctx context.Context, c Case, d Door) (Result, error) {
	var res Result
	kept := values{}
	for _, s := range c.Steps {
		responses, errs := replayStep(ctx, c, s, d, kept)
		res.Responses = append(res.Responses, responses...)
		if len(errs) == 0 {
			continue
		}
		var all []error
		for _, m := range errs {
			m.File = c.File
			all = append(all, m)
		}
		return res, errors.Join(all...)
	}
	return res, nil
}

func replayStep(ctx context.Context, c Case, s Step, d Door, kept values) ([]Response, []*Miss) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if d.App != nil {
		d.App.Answer(s.App)
	}
	if d.Journal != nil {
		d.Journal.Forget()
	}
	responses, err := exchange(ctx, c, s, d, kept)
	if err != nil {
		return responses, []*Miss{{Line: s.Line, Err: err}}
	}
	var errs []*Miss
	for i, w := range s.Want {
		errs = append(errs, judge(ctx, w, &responses[i], d, kept)...)
	}
	if d.App != nil {
		errs = append(errs, judgeApp(s, d.App.Seen(), kept)...)
	}
	return responses, errs
}

// judge compares one answer with what is wanted of it.
func judge(ctx context.Context, w Want, got *Response, d Door, kept values) (errs []*Miss) {
	miss := func(format string, args ...any) {
		errs = append(errs, &Miss{Line: w.Line, Err: fmt.Errorf(format, args...)})
	}
	findRules(ctx, w, got, d)
	switch {
	case w.Closed && !got.Closed:
		miss("got status %d %v, want the connection closed", got.Status, got.Rules)
	case !w.Closed && got.Closed:
		miss("got no answer, want status %d", w.Status)
	case w.Status != got.Status:
		miss("got status %d %v, want %d %s; body %q", got.Status, got.Rules, w.Status, w.Rule, shorten(got.Body))
	case w.Cut != got.Cut:
		miss("got a body that broke off: %t, want %t", got.Cut, w.Cut)
	}
	switch {
	case w.Rule != "" && !slices.Contains(got.Rules, w.Rule):
		miss("got refused by %v, want %s", got.Rules, w.Rule)
	case w.Rule == "" && len(got.Rules) > 0 && !w.Closed:
		miss("got refused by %v, want no refusal", got.Rules)
	}
	if d.Journal != nil {
		for _, e := range w.Events {
			if !slices.Contains(got.Events, e) {
				miss("got events %v, want %s", got.Events, e)
			}
		}
	}
	errs = append(errs, kept.matchHeader(w.Header, func(name string) []string {
		return got.Header[http.CanonicalHeaderKey(name)]
	})...)
	return append(errs, kept.matchBody(w.Body, got.Body)...)
}

// findRules fills in which rules refused and which were noted. An event may
// come a moment after the answer, so what is wanted is waited for.
func findRules(ctx context.Context, w Want, got *Response, d Door) {
	if d.Journal == nil {
		got.Rules = namedRule(got)
		return
	}
	patience, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		next := d.Journal.next()
		got.Rules, got.Events = rulesOf(d.Journal.Events(), got.Header.Get("X-Request-Id"))
		missing := w.Rule != "" && !slices.Contains(got.Rules, w.Rule)
		for _, e := range w.Events {
			missing = missing || !slices.Contains(got.Events, e)
		}
		if !missing {
			return
		}
		select {
		case <-next:
		case <-patience.Done():
			return
		}
	}
}

// rulesOf sorts the events of request id, and those of no request.
func rulesOf(events []guard.Event, id string) (denied, other []string) {
	for _, e := range events {
		if e.Rule == nil || e.Request != "" && id != "" && e.Request != id {
			continue
		}
		list := &other
		if e.Verdict == guard.Denied || e.Verdict == guard.Failed {
			list = &denied
		}
		if !slices.Contains(*list, e.Rule.ID) {
			*list = append(*list, e.Rule.ID)
		}
	}
	slices.Sort(denied)
	slices.Sort(other)
	return denied, other
}

// namedRule returns the rule that a problem names to a local client.
func namedRule(got *Response) []string {
	var problem struct{ Rule string }
	if !strings.HasPrefix(got.Header.Get("Content-Type"), "application/problem+json") ||
		json.Unmarshal([]byte(got.Body), &problem) != nil || problem.Rule == "" {
		return nil
	}
	return []string{problem.Rule}
}

func judgeApp(s Step, seen []Request, kept values) (errs []*Miss) {
	if s.Nothing && len(seen) > 0 {
		return []*Miss{{Line: s.Line, Err: fmt.Errorf("the app saw %s %s, want nothing", seen[0].Method, seen[0].Target)}}
	}
	if len(s.Seen) > 0 && len(seen) != len(s.Seen) {
		return []*Miss{{Line: s.Seen[0].Line, Err: fmt.Errorf("the app saw %d requests, want %d", len(seen), len(s.Seen))}}
	}
	for i, w := range s.Seen {
		got := seen[i]
		if w.Method != "" && (got.Method != w.Method || got.Target != expand(kept.fill(w.Target))) {
			errs = append(errs, &Miss{Line: w.Line, Err: fmt.Errorf("the app saw %s %s, want %s %s", got.Method, got.Target, w.Method, w.Target)})
		}
		inApp := kept.matchHeader(w.Header, func(name string) []string {
			if http.CanonicalHeaderKey(name) == "Host" {
				return []string{got.Host}
			}
			return got.Header[http.CanonicalHeaderKey(name)]
		})
		for _, e := range append(inApp, kept.matchBody(w.Body, got.Body)...) {
			e.Err = fmt.Errorf("the app saw: %w", e.Err)
			errs = append(errs, e)
		}
	}
	return errs
}
