package acme

import (
	"fmt"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logger passes certmagic's errors on, as one line each. What it says below an
// error is for its own developers.
func logger(tell func(string)) *zap.Logger { return zap.New(&core{tell: tell}) }

type core struct {
	fields []zapcore.Field
	tell   func(string)
}

// Enabled holds back all below an error.
func (c *core) Enabled(l zapcore.Level) bool { return l >= zapcore.ErrorLevel }

// With returns a core that adds fields.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{append(c.fields[:len(c.fields):len(c.fields)], fields...), c.tell}
}

// Check adds c to those that write the entry.
func (c *core) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write tells an entry.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	all := append(c.fields[:len(c.fields):len(c.fields)], fields...)
	values := zapcore.NewMapObjectEncoder()
	var b strings.Builder
	b.WriteString(e.Message)
	for _, f := range all {
		f.AddTo(values)
		if v, ok := values.Fields[f.Key]; ok && f.Key != "stack" {
			fmt.Fprintf(&b, "; %s: %v", f.Key, v)
		}
	}
	c.tell(b.String())
	return nil
}

// Sync has nothing to do.
func (c *core) Sync() error { return nil }
