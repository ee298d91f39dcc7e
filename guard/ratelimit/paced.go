package ratelimit

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"

	"hauberk.dev/guard"
)

// Paced limits what next is asked: first the client by its rate, then all by
// what the app has room for. The two are apart, so that an exception from one
// leaves the other standing.
func (r *Room) Paced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		x := guard.From(req.Context())
		rt := r.of(x)
		p := &pass{x: x, next: next, load: rt.load, client: clientOf(x.Client)}
		if !rt.allow.has(x.Client) {
			p.policy, p.decision, p.refusal = r.take(req, x, rt)
		}
		guard.Amend(p.answer)(p).ServeHTTP(w, req)
	})
}

// ServeHTTP refuses, or hands the request on and counts it from its end.
func (p *pass) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if p.refusal != nil && guard.Refuse(w, req, p.refusal) {
		return
	}
	whole := req.Body == nil || req.Body == http.NoBody || req.ContentLength == 0
	if !p.enter(whole) && guard.Refuse(w, req, p.busy()) {
		return
	}
	defer p.leave(false)
	if whole {
		p.wait() // also one that an exception lets through
	} else {
		req.Body = &upload{ReadCloser: req.Body, left: req.ContentLength, pass: p}
	}
	p.next.ServeHTTP(w, req)
}

// busy refuses where the app has no room. When to come back differs, so that
// those who were refused together do not come back together.
func (p *pass) busy() error {
	return overload.Deny("too many requests wait for the app, of %s or of all", text(p.client)).
		With("Retry-After", strconv.Itoa(1+rand.IntN(5)))
}

// answer is called with the head of the answer.
func (p *pass) answer(h http.Header, _ *http.Request, _ int) error {
	p.leave(p.x.Refused == nil)
	if p.policy != nil {
		p.policy.sign(h, p.decision)
	}
	return nil
}

// upload tells when a body has been read to its end: until then it is the
// client who is waited for, and a slow one takes nobody's place.
type upload struct {
	io.ReadCloser
	left int64 // -1: only its end tells
	pass *pass
}

func (u *upload) Read(b []byte) (int, error) {
	n, err := u.ReadCloser.Read(b)
	if u.left > 0 {
		u.left -= int64(n)
	}
	if err != nil || u.left == 0 {
		u.pass.wait()
	}
	return n, err
}

// text writes a client as it is counted.
func text(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "clients without an address"
	case a.Is6():
		return a.String() + "/64"
	}
	return a.String()
}

func counted(cost int) string {
	if cost == 1 {
		return ""
	}
	return fmt.Sprintf(", where one counts for %d", cost)
}
