package ratelimit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/store"
)

var unreachable = &guard.Rule{
	ID: "ratelimit.store", Severity: guard.Medium,
	Title: "the store of the rate limits does not answer",
	Fix:   "bring it back: until then each instance limits by itself, from memory",
	CWE:   636, ASVS: []string{"16.5.2"},
}

const (
	// patience is how long a shared store may think about one request.
	patience = 100 * time.Millisecond
	// quiet is how often a store that is down is journalled.
	quiet = time.Minute
)

// all is the name of a policy for every method.
const all = "all"

// policy is a rate with its name, as draft-ietf-httpapi-ratelimit-headers
// calls it.
type policy struct {
	name  string
	rate  Rate
	cost  int
	scope string // what the keys of its buckets begin with
	head  string // RateLimit-Policy, whole
	item  string // RateLimit up to r's value
	key   string // the partition key that ends both, "" where a client has one bucket
	every time.Duration
}

// policyOf shares the buckets of the level above where the rate is the same;
// those for all methods too, with a level that limits only the others anew.
func policyOf(name string, r Rate, cost int, place string, above *policy) *policy {
	if above != nil && above.rate == r && above.name == all {
		name = all
	}
	p := &policy{name: name, rate: r, cost: cost, scope: name + ":", every: r.step()}
	switch {
	case above != nil && above.rate == r && above.name == name:
		p.scope, p.key = above.scope, above.key
	case above != nil:
		sum := sha256.Sum256([]byte(place))
		p.scope += hex.EncodeToString(sum[:8]) + ":"
		p.key = ";pk=:" + base64.StdEncoding.EncodeToString(sum[:6]) + ":"
	}
	// A bucket holds the burst and is full again in the time for it: those are
	// the quota and the window that a client can rely on.
	window := seconds(time.Duration(r.Burst) * p.every)
	p.head = `"` + name + `";q=` + strconv.Itoa(r.Burst) + ";w=" + strconv.Itoa(window) + p.key
	p.item = `"` + name + `";r=`
	return p
}

// seconds rounds up: a field that says 0 is no help.
func seconds(d time.Duration) int { return int(max((d+time.Second-1)/time.Second, 1)) }

// take asks the bucket of who asks, and says of whom it is.
func (r *Room) take(req *http.Request, x *guard.Exchange, rt *route, who holder) (*policy, store.Decision, error) {
	p := rt.safe
	if changes(req, x) {
		p = rt.unsafe
	}
	var buf [keySize]byte
	key := string(who.appendKey(buf[:0], p.scope))
	d, err := r.ask(req, x, p, key)
	if err != nil || d.Allowed {
		return p, d, err
	}
	return p, d, exceeded.Deny("more than %s from %s%s", p.rate, who, counted(p.cost)).
		With("Retry-After", strconv.Itoa(seconds(d.RetryAfter)))
}

// ask falls back to this instance's own memory where the shared store fails,
// so that neither the limit nor the site depends on it.
func (r *Room) ask(req *http.Request, x *guard.Exchange, p *policy, key string) (store.Decision, error) {
	now := time.Now()
	if r.shared != nil {
		ctx, cancel := context.WithTimeout(req.Context(), patience)
		d, err := r.shared.Take(ctx, key, p.cost, p.rate.stored(), now)
		cancel()
		if err == nil {
			return d, nil
		}
		if req.Context().Err() == nil {
			r.tell(x, now, err)
		}
	}
	return r.local.Take(req.Context(), key, p.cost, p.rate.stored(), now)
}

// tell journals a failure of the shared store, once in a while.
func (r *Room) tell(x *guard.Exchange, now time.Time, err error) {
	last := r.told.Load()
	if last != 0 && now.Sub(time.Unix(0, last)) < quiet || !r.told.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	e := unreachable.Noted("limits are kept in memory: %v", err)
	e.Verdict = guard.Failed
	x.Emit(e)
}

// changes says whether any method for which the decision must hold changes
// something (RFC 9110, 9.2.1).
func changes(req *http.Request, x *guard.Exchange) bool {
	for _, m := range [...]string{req.Method, x.Method, x.Claimed} {
		switch m {
		case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		default:
			return true
		}
	}
	return false
}

// sign writes the fields of draft-ietf-httpapi-ratelimit-headers-11. An app
// that sends its own knows its limits better.
func (p *policy) sign(h http.Header, d store.Decision) {
	if len(h["Ratelimit"])+len(h["Ratelimit-Policy"]) > 0 {
		return
	}
	values := [2]string{p.head}
	h["Ratelimit-Policy"] = values[:1:1]
	if d.Allowed && len(h["Retry-After"]) > 0 {
		return // another reason to wait, for another time
	}
	// Within t a client can use no more than r: the time in which r is earned,
	// so that whoever spreads r over t asks at the rate (section 8.5). With
	// Retry-After it is that time (section 6).
	t := seconds(time.Duration(max(d.Remaining, 1)) * p.every)
	if !d.Allowed {
		t = seconds(d.RetryAfter)
	}
	var buf [96]byte
	b := append(buf[:0], p.item...)
	b = strconv.AppendInt(b, int64(d.Remaining), 10)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, int64(t), 10)
	b = append(b, p.key...)
	values[1] = string(b)
	h["Ratelimit"] = values[1:]
}
