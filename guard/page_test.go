package guard_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"hauberk.dev/guard"
)

// TestARefusalPageBreaksLongWords asks for what keeps a page from being wider
// than a small screen: every id, detail and fix stands in a code element.
func TestARefusalPageBreaksLongWords(t *testing.T) {
	rule := &guard.Rule{ID: "test.rule", Status: 403, Title: "no", Fix: strings.Repeat("x", 200)}
	q := httptest.NewRequest("GET", "/", nil)
	q.Header.Set("Accept", "text/html")
	x := &guard.Exchange{ID: strings.Repeat("0", 32), Local: true, Route: &guard.Route{}}
	w := httptest.NewRecorder()
	guard.Refuse(w, q.WithContext(guard.With(q.Context(), x)), rule.Deny("%s", strings.Repeat("y", 200)))
	page := w.Body.String()
	for _, want := range []string{"code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}", "<code>hauberk explain " + x.ID + "</code>",
		"<code>" + strings.Repeat("y", 200) + "</code>", "<code>" + rule.Fix + "</code>"} {
		if !strings.Contains(page, want) {
			t.Errorf("got %s, want %s", page, want)
		}
	}
}
