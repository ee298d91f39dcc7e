package ratelimit

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"hauberk.dev/store"
)

// Rate is a pace with a burst, in configuration "1200/min burst 600".
type Rate struct {
	Limit int           // requests each Per, on the average
	Per   time.Duration // a second, a minute, an hour or a day
	Burst int           // requests at once
}

// The defaults: a cold page loads a hundred assets at once, and an office
// shares one address; people write less often than they read.
var (
	defaultSafe   = Rate{1200, time.Minute, 600}
	defaultUnsafe = Rate{300, time.Minute, 60}
)

// maxRequests bounds what a Rate may say: more in a period is no limit.
const maxRequests = 1_000_000

const ratePattern = `^([0-9]+)/(s|min|h|d)(?: burst ([0-9]+))?$`

var (
	rateText = regexp.MustCompile(ratePattern)
	units    = map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
)

// UnmarshalText reads "600/min" or "600/min burst 100".
func (r *Rate) UnmarshalText(text []byte) error {
	m := rateText.FindSubmatch(text)
	if m == nil {
		return fmt.Errorf(`%q is not a rate: want "600/min" or "600/min burst 100", per s, min, h or d`, text)
	}
	limit, err := strconv.Atoi(string(m[1]))
	burst := limit
	if m[3] != nil && err == nil {
		burst, err = strconv.Atoi(string(m[3]))
	}
	read := Rate{limit, units[string(m[2])], burst}
	if err != nil {
		return fmt.Errorf("%q is out of range: no rate is that high", text)
	}
	if err := read.valid(); err != nil {
		return err
	}
	*r = read
	return nil
}

// MarshalText writes r as UnmarshalText reads it.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String writes r as it stands in a configuration.
func (r Rate) String() string {
	per := r.Per.String()
	for name, unit := range units {
		if unit == r.Per {
			per = name
		}
	}
	if r.Burst == r.Limit {
		return fmt.Sprintf("%d/%s", r.Limit, per)
	}
	return fmt.Sprintf("%d/%s burst %d", r.Limit, per, r.Burst)
}

// Pattern is the form of a Rate, for editors that check a config against its
// schema.
func (Rate) Pattern() string { return ratePattern }

func (r Rate) valid() error {
	switch {
	case r.Limit == 0 || r.Burst == 0:
		return errors.New("0 lets nobody pass: to close a route, deny 0.0.0.0/0 and ::/0")
	case r.Limit < 0 || r.Burst < 0 || r.Limit > maxRequests || r.Burst > maxRequests:
		return fmt.Errorf("%d with a burst of %d is out of range: want 1 to %d each", r.Limit, r.Burst, maxRequests)
	case r.Per < time.Second || r.Per > 24*time.Hour:
		return fmt.Errorf("a period of %v is out of range: want a second to a day", r.Per)
	}
	return nil
}

// more says whether r lets more pass than other does.
func (r Rate) more(other Rate) bool {
	return r.Burst > other.Burst || float64(r.Limit)*float64(other.Per) > float64(other.Limit)*float64(r.Per)
}

func (r Rate) stored() store.Rate { return store.Rate{Per: r.Per, Limit: r.Limit, Burst: r.Burst} }

// step is the time in which one more request is earned.
func (r Rate) step() time.Duration { return r.Per / time.Duration(r.Limit) }
