package monitor

import (
	"log/slog"
	"slices"
	"time"

	"hauberk.dev/guard"
)

// Entry is one event as it stands in the journal.
type Entry struct {
	Time     time.Time         `json:"time"`
	Rule     string            `json:"rule"`
	Severity string            `json:"severity"`
	Verdict  string            `json:"verdict"`
	Detail   string            `json:"detail,omitempty"`
	Fix      string            `json:"fix,omitempty"`
	Request  string            `json:"request,omitempty"`
	Route    string            `json:"route,omitempty"`
	Field    string            `json:"field,omitempty"`
	Client   string            `json:"client,omitempty"`
	User     string            `json:"user,omitempty"`
	Attrs    map[string]string `json:"attrs,omitempty"`
	// Folded counts identical events of one second that this entry stands for;
	// 0 is the event itself. Requests names the first of their requests.
	Folded   int      `json:"folded,omitempty"`
	Requests []string `json:"requests,omitempty"`
	// Kept is where the refused field itself is kept, sealed; see Field.
	Kept uint64 `json:"kept,omitempty"`
}

// count is how many events e stands for.
func (e Entry) count() int { return max(e.Folded, 1) }

const (
	maxDetail = 2 << 10
	maxAttr   = 40 << 10
)

// entryOf writes e out. Its texts are escaped here, whoever prints them later.
func entryOf(e guard.Event) Entry {
	out := Entry{
		Time: e.Time.UTC(), Rule: e.Rule.ID, Severity: e.Rule.Severity.String(), Verdict: e.Verdict.String(),
		Detail: clean(mask(e.Detail), maxDetail), Fix: e.Rule.Fix, Request: e.Request, Route: e.Route,
		Field: clean(e.Field, maxHost), User: clean(e.User, maxHost),
	}
	if e.Time.IsZero() {
		out.Time = time.Now().UTC()
	}
	if e.Client.IsValid() {
		out.Client = e.Client.String()
	}
	if len(e.Attrs) > 0 {
		out.Attrs = make(map[string]string, len(e.Attrs))
	}
	for _, a := range e.Attrs {
		if _, ok := a.Value.Any().(refused); ok {
			continue
		}
		v := mask(a.Value.Resolve().String())
		if len(v) > maxAttr {
			v = v[:maxAttr] + "…"
		}
		out.Attrs[a.Key] = escapeText(v)
	}
	return out
}

// record is e as a line of the log.
func (e Entry) record() slog.Record {
	level := slog.LevelInfo
	switch e.Verdict {
	case guard.Denied.String(), guard.Excused.String():
		level = slog.LevelWarn
	case guard.Failed.String():
		level = slog.LevelError
	}
	r := slog.NewRecord(e.Time, level, "event", 0)
	for _, kv := range [...][2]string{
		{"rule", e.Rule}, {"severity", e.Severity}, {"verdict", e.Verdict}, {"detail", e.Detail}, {"fix", e.Fix},
		{"request", e.Request}, {"route", e.Route}, {"field", e.Field}, {"client", e.Client}, {"user", e.User}} {
		if kv[1] != "" {
			r.AddAttrs(slog.String(kv[0], kv[1]))
		}
	}
	keys := make([]string, 0, len(e.Attrs))
	for k := range e.Attrs {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		r.AddAttrs(slog.String(k, e.Attrs[k]))
	}
	if e.Folded > 0 {
		r.AddAttrs(slog.Int("folded", e.Folded))
	}
	return r
}
