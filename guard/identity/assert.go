package identity

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"

	"hauberk.dev/guard"
	"hauberk.dev/guard/identity/assertion"
)

// asserted is one request on its way up with its body, if that was read.
type asserted struct {
	r    *http.Request
	body *assertion.Body
}

// Assert tells the app who asks, by a token that is bound to the very request
// that goes up. It stands next to the app: nothing changes the request behind it.
func (r *Room) Assert(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		up, err := r.assert(req)
		if err != nil {
			guard.Refuse(w, req, err) // not observable: never excused
			return
		}
		if up.body != nil {
			defer up.body.Close()
		}
		next.ServeHTTP(w, up.r)
	})
}

func (r *Room) assert(req *http.Request) (asserted, error) {
	x := guard.From(req.Context())
	c := assertion.Claims{
		Issuer: r.issuer(x.Route), Audience: r.audience(x.Route), Subject: x.Subject,
		Host: strings.ToLower(req.Host), Method: req.Method, Target: assertion.Target(req), Body: assertion.None,
	}
	if x.Subject != nil && !x.Subject.Token && x.Session != nil {
		c.Session = x.Session.ID()
	}
	up := asserted{r: req}
	switch {
	case req.Body == nil || req.Body == http.NoBody || req.ContentLength == 0:
		c.Again = req.Method == http.MethodGet || req.Method == http.MethodHead
	case x.Subject == nil || req.ContentLength < 0 || req.ContentLength > assertion.MaxBody:
		c.Body = assertion.Unbound
	default:
		body, err := r.hold.Read(req.Context(), x.Subject.ID, req.Body, req.ContentLength)
		if err != nil {
			return up, unread(req, err)
		}
		c.Body = body.Claim()
		up.body, up.r = body, req.WithContext(req.Context())
		up.r.Body = body
	}
	token, err := r.signer.Sign(&c)
	if err != nil {
		if up.body != nil {
			up.body.Close()
		}
		return up, err
	}
	strip(up.r.Header)
	up.r.Header[assertion.Header] = []string{token}
	return up, nil
}

// unread says what a body means that could not be read.
func unread(req *http.Request, err error) error {
	var full assertion.ErrFull
	var denial *guard.Denial
	switch {
	case errors.As(err, &full):
		return busy.Deny("%w", err).With("Retry-After", "5")
	case errors.As(err, &denial) || req.Context().Err() != nil:
		return err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled):
		return brokenBody.Deny("the body broke off: %w", err)
	}
	return err
}

// strip drops what a client calls an assertion. Room harden has done so before;
// a chain without it must not believe one either.
func strip(h http.Header) {
	for name := range h {
		if len(name) == len(assertion.Header) && strings.EqualFold(spelled.Replace(name), assertion.Header) {
			delete(h, name)
		}
	}
}

// spelled undoes what applications make of a field's name.
var spelled = strings.NewReplacer("_", "-", ".", "-")

// issuer is who vouches in what goes up from a route.
func (r *Room) issuer(rt *guard.Route) string {
	if r.c.Issuer != "" {
		return r.c.Issuer
	}
	if known := r.issuers.Load(); known != nil {
		if name, ok := (*known)[rt.Site]; ok {
			return name
		}
	}
	return r.nameIssuer(rt.Site)
}

// nameIssuer makes the issuer's name for a site and keeps it: there are as many
// as sites in the configuration, and each request asks for one.
func (r *Room) nameIssuer(site string) string {
	name := "https://" + strings.TrimPrefix(site, "*.")
	for {
		known := r.issuers.Load()
		more := map[string]string{site: name}
		if known != nil {
			maps.Copy(more, *known)
		}
		if r.issuers.CompareAndSwap(known, &more) {
			return name
		}
	}
}

// audience is the app that a route leads to.
func (r *Room) audience(rt *guard.Route) string {
	if r.c.Audience != "" {
		return r.c.Audience
	}
	if r.o.Upstream != nil {
		if to := r.o.Upstream(rt.N); to != "" {
			return to
		}
	}
	return r.issuer(rt)
}
