package fault

import (
	"fmt"
	"log/slog"
	"strings"

	"hauberk.dev/guard"
)

// maxText bounds what one event keeps of a panic or its stack.
const maxText = 32 << 10

// explain turns a panic into a refusal. Its text goes to the journal only: a
// panic may hold anything, and even a client on this machine may be a tunnel
// from somewhere else.
func explain(p guard.Panic) error {
	d := panicked.Deny("a handler panicked with %T", p.Value)
	d.Attrs = []slog.Attr{
		slog.String("panic", clip([]byte(fmt.Sprint(p.Value)), maxText)),
		slog.String("stack", clip(p.Stack, maxText)),
	}
	return d
}

// clip returns at most n bytes of text, as valid UTF-8.
func clip(text []byte, n int) string {
	if len(text) <= n {
		return strings.ToValidUTF8(string(text), "\uFFFD")
	}
	return strings.ToValidUTF8(string(text[:n]), "\uFFFD") + "…"
}
