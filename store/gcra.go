package store

import (
	"math"
	"time"
)

// Rate allows Limit requests each Per on the average and Burst of them at once.
type Rate struct {
	Per   time.Duration
	Limit int
	Burst int
}

// Decision is what came of a Take.
type Decision struct {
	Allowed bool
	// Remaining is how much could be taken at once now.
	Remaining int
	// RetryAfter is when the same cost would be allowed, 0 if it was. A cost
	// above the burst never is.
	RetryAfter time.Duration
	// Reset is when the bucket is full again.
	Reset time.Duration
}

// step is the time that one request costs, rounded up: never more than Limit
// in a Per, if a little less.
func (r Rate) step() int64 {
	limit := int64(max(r.Limit, 1))
	return max((int64(max(r.Per, 1))+limit-1)/limit, 1)
}

// Take is the generic cell rate algorithm (ITU-T I.371), the one for every
// engine: a bucket is one number, the time at which it is full again, so two
// requests need no order between them and an idle bucket needs no memory. It
// returns that number as it stands afterwards, unchanged by a refusal.
//
// full may lie at most a burst ahead. Farther, the clock was set back or the
// rate has changed: then it counts as empty, and is full again in its usual
// time instead of staying shut until the clock has caught up.
func (r Rate) Take(full, now int64, cost int) (int64, Decision) {
	step := r.step()
	burst := int64(max(r.Burst, 1))
	if burst > math.MaxInt64/4/step {
		burst = math.MaxInt64 / 4 / step
	}
	room := burst * step
	full = min(max(full, now), now+room)
	price := min(int64(max(cost, 0)), burst+1) * step
	d := Decision{Allowed: full+price-now <= room}
	if d.Allowed {
		full += price
	} else {
		d.RetryAfter = time.Duration(full + price - now - room)
	}
	d.Remaining = int((room - (full - now)) / step)
	d.Reset = time.Duration(full - now)
	return full, d
}
