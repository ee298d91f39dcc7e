package identity

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/pages"
)

var worker = &guard.Rule{
	ID: "identity.service-worker", Severity: guard.Medium, Status: http.StatusForbidden,
	Title: "a service worker may not rule more than its folder",
	Fix:   "list the script's path in identity.service_workers",
	CWE:   668, ASVS: []string{"3.5.4"},
}

// openPages reads the files of the look and draws the pages with it.
func openPages(c Config) (*pages.Set, error) {
	logo, err1 := readSmall("logo", c.Logo, pages.MaxLogo)
	texts, err2 := readSmall("texts", c.Texts, pages.MaxTexts)
	set, err3 := pages.New(pages.Config{Name: c.Service, Logo: logo, Texts: texts, Accent: c.Accent, AccentDark: c.AccentDark})
	var errs []error
	for _, err := range []error{err1, err2, err3, workerPaths(c.ServiceWorkers)} {
		errs = append(errs, named(err)...)
	}
	return set, errors.Join(errs...)
}

// named puts the section's name before each mistake.
func named(err error) []error {
	if err == nil {
		return nil
	}
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{fmt.Errorf("identity.%w", err)}
	}
	var all []error
	for _, one := range many.Unwrap() {
		all = append(all, named(one)...)
	}
	return all
}

// readSmall reads a file of at most some bytes, and one more that tells that
// there are too many.
func readSmall(key, name string, most int64) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(data) == 0 {
		err = errors.New("the file is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return data, nil
}

// workerPaths checks the paths of service workers.
func workerPaths(paths []string) error {
	var errs []error
	for i, p := range paths {
		if !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.HasPrefix(p, "/.hauberk") {
			errs = append(errs, fmt.Errorf("service_workers[%d]: %q is not the path of a script such as \"/app/worker.js\"", i, p))
		}
	}
	return errors.Join(errs...)
}

// workers takes Service-Worker-Allowed from the app's answers, but for those of
// listed scripts. With it a script that somebody uploaded to /files/ rules "/",
// and stands between the user and our pages (Service Workers, 7.3).
func (r *Room) workers(next http.Handler) http.Handler {
	const allowed = "Service-Worker-Allowed"
	return guard.Amend(func(h http.Header, req *http.Request, _ int) error {
		if len(h[allowed]) == 0 || slices.Contains(r.c.ServiceWorkers, asked(req)) {
			return nil
		}
		wanted := h[allowed]
		delete(h, allowed)
		if r.worked.CompareAndSwap(false, true) {
			guard.From(req.Context()).Emit(worker.Noted("the app lets the script %q rule %q: that was taken away; this is said once", req.URL.Path, wanted))
		}
		return nil
	})(next)
}

// serveLogo sends the operator's picture, to be shown in our pages and to be
// nothing else.
func (r *Room) serveLogo(w http.ResponseWriter, req *http.Request) {
	dest, site := req.Header["Sec-Fetch-Dest"], req.Header["Sec-Fetch-Site"]
	logo := r.pages.Logo()
	var err error
	switch {
	case logo == nil:
		err = navigation.Deny("there is no logo").WithStatus(http.StatusNotFound)
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		err = badForm.Deny("method %q", req.Method).In("method").WithStatus(http.StatusMethodNotAllowed).With("Allow", "GET, HEAD")
	case len(dest) > 0 && !slices.Equal(dest, []string{"image"}), len(site) > 0 && !slices.Equal(site, []string{"same-origin"}):
		err = navigation.Deny("the logo as %q, from %q", dest, site).In("header.Sec-Fetch-Dest")
	}
	if err != nil {
		guard.Refuse(w, req, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", logo.Type)
	h.Set("Content-Length", fmt.Sprint(len(logo.Data)))
	h.Set("Content-Security-Policy", pages.LogoCSP)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "private, max-age=3600")
	guard.From(req.Context()).Policy = pages.LogoCSP
	w.WriteHeader(http.StatusOK)
	w.Write(logo.Data)
}
