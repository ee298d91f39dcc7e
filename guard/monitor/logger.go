package monitor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// Logger returns a logger that writes to w, one line a fact, as format says:
// "json", the default, or "text". Times are UTC, and control characters in
// values are escaped in both.
func Logger(w io.Writer, format string) (*slog.Logger, error) {
	switch format {
	case "", "json":
		return slog.New(tidy{slog.NewJSONHandler(w, nil)}), nil
	case "text":
		return slog.New(tidy{slog.NewTextHandler(w, nil)}), nil
	}
	return nil, fmt.Errorf("log: %q is not a format: want json or text", format)
}

// tidy makes times UTC, and escapes in values what a JSON handler does not: C1
// control characters and those that turn the direction of writing. A record
// without any, which is nearly every one, passes as it is.
type tidy struct{ slog.Handler }

// Handle passes r on, tidied.
func (t tidy) Handle(ctx context.Context, r slog.Record) error {
	r.Time = r.Time.UTC()
	plain := isTidy(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		plain = plain && isPlain(a)
		return plain
	})
	if plain {
		return t.Handler.Handle(ctx, r)
	}
	out := slog.NewRecord(r.Time, r.Level, escapeText(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(tidied(a))
		return true
	})
	return t.Handler.Handle(ctx, out)
}

// WithAttrs returns a handler with attrs, tidied.
func (t tidy) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = tidied(a)
	}
	return tidy{t.Handler.WithAttrs(clean)}
}

// WithGroup returns a handler for a group.
func (t tidy) WithGroup(name string) slog.Handler { return tidy{t.Handler.WithGroup(name)} }

// isTidy says whether s is free of what JSON leaves unescaped. Control
// characters below 0x20 are escaped by the handlers themselves.
func isTidy(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func isPlain(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindString:
		return isTidy(a.Value.String())
	case slog.KindAny, slog.KindGroup, slog.KindLogValuer, slog.KindTime:
		return false
	}
	return true
}

// tidied returns a with its texts escaped. What is neither text nor number is
// made text here.
func tidied(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, escapeText(v.String()))
	case slog.KindTime:
		return slog.Time(a.Key, v.Time().UTC())
	case slog.KindAny:
		return slog.String(a.Key, escapeText(fmt.Sprint(v.Any())))
	case slog.KindGroup:
		members := v.Group()
		clean := make([]slog.Attr, len(members))
		for i, m := range members {
			clean[i] = tidied(m)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(clean...)}
	}
	return slog.Attr{Key: a.Key, Value: v}
}
