package e2e_test

import (
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestTheDemoFitsANarrowScreen walks through the demonstration's app on a
// screen of 320 pixels, where WCAG 2.2 (1.4.10) wants no scrolling sideways.
func TestTheDemoFitsANarrowScreen(t *testing.T) {
	p := launch(t, t.TempDir(), nil, binary(t), "demo", "--state", filepath.Join(t.TempDir(), "state"))
	at := regexp.MustCompile(`the bare app     (http://\S+)`)
	if !eventually(30*time.Second, func() bool { return at.MatchString(p.out.String()) }) {
		t.Fatalf("the demonstration did not come up:\n%s", p.out)
	}
	bare := at.FindStringSubmatch(p.out.String())[1]
	b := browse(t, door{url: bare})
	b.do(t, chromedp.EmulateViewport(320, 640))
	for _, path := range []string{"/", "/login", "/notes", "/transfer", "/upload", "/search?q=" + "averylongwordwithoutanyplacetobreakitapart"} {
		b.do(t, chromedp.Navigate(bare+path))
		b.shows(t, "Larkspur Bank")
		if got := eval[int](b, t, `document.documentElement.scrollWidth`); got > 320 {
			t.Errorf("%s is %d pixels wide on a screen of 320", path, got)
		}
		b.shot(t, "demo-320"+filepath.Base(path))
	}
}
