package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"hauberk.dev/guard"
)

// Paced limits what next is asked: first the client by its rate, then all by
// what the app has room for. The two are apart, so that an exception from one
// leaves the other standing.
func (r *Room) Paced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		x := guard.From(req.Context())
		rt := r.of(x)
		p := &pass{x: x, next: next, load: rt.load, holder: r.holderOf(req, x)}
		if !rt.allow.has(x.Client) {
			p.policy, p.decision, p.refusal = r.take(req, x, rt, p.holder)
		}
		guard.Edit(w, req, p.answer, p)
	})
}

// ServeHTTP refuses, or hands the request on and counts it.
func (p *pass) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if p.refusal != nil && guard.Refuse(w, req, p.refusal) {
		return
	}
	p.early = req.Body != nil && req.Body != http.NoBody && req.ContentLength != 0
	upload := p.early
	if !p.enter(req.Context()) && guard.Refuse(w, req, p.busy()) {
		return
	}
	defer p.leave(false)
	p.wait(time.Now()) // also one that an exception lets through
	if upload {
		u := newUpload(req, p)
		defer u.idle.Stop()
		req.Body = u
	}
	p.next.ServeHTTP(w, req)
}

// busy refuses where the app has no room. When to come back differs, so that
// those who were refused together do not come back together.
func (p *pass) busy() error {
	return overload.Deny("too many requests wait for the app, of %s or of all", p.holder).
		With("Retry-After", strconv.Itoa(1+rand.IntN(5)))
}

// answer is called with the head of the answer. Where the body was refused, an
// app that was not told why it ended has nothing to say.
func (p *pass) answer(h http.Header, _ *http.Request, _ int) error {
	if err := p.leave(p.x.Refused == nil); err != nil && p.x.Refused == nil {
		return err
	}
	if p.policy != nil {
		p.policy.sign(h, p.decision)
	}
	return nil
}

func counted(cost int) string {
	if cost == 1 {
		return ""
	}
	return fmt.Sprintf(", where one counts for %d", cost)
}
