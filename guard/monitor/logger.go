package monitor

import (
	"fmt"
	"io"
	"log/slog"
)

// Logger returns a logger that writes to w, one line a fact, as format says:
// "json", the default, or "text". Times are UTC, and control characters in
// values are escaped in both.
func Logger(w io.Writer, format string) (*slog.Logger, error) {
	o := &slog.HandlerOptions{ReplaceAttr: tidy}
	switch format {
	case "", "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log: %q is not a format: want json or text", format)
}

// tidy makes times UTC, and escapes in strings what JSON does not: C1 control
// characters and those that turn the direction of writing.
func tidy(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindTime:
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	case slog.KindString:
		s := a.Value.String()
		for i := range len(s) {
			if s[i] >= 0x7f {
				return slog.String(a.Key, escapeText(s))
			}
		}
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			return slog.String(a.Key, escapeText(err.Error()))
		}
	}
	return a
}
