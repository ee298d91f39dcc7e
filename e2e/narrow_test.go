package e2e_test

import (
	"net/http"
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

// TestARefusalFitsANarrowScreen holds the same for the page of a refusal, with
// all that a reader at the machine itself is told.
func TestARefusalFitsANarrowScreen(t *testing.T) {
	d := serve(t, app(t, func(http.ResponseWriter, *http.Request) {})).door(2)
	b := browse(t, d)
	b.do(t, chromedp.EmulateViewport(320, 640))
	for _, path := range []string{"/.env", "/a%00b"} {
		b.do(t, chromedp.Navigate(d.url+path))
		b.shows(t, "hauberk explain")
		if got := eval[int](b, t, `document.documentElement.scrollWidth`); got > 320 {
			t.Errorf("the refusal of %s is %d pixels wide on a screen of 320", path, got)
		}
		b.shot(t, "refusal-320"+filepath.Base(path))
	}
}
