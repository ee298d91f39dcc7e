package session

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

const (
	// least is the shortest limit: the last-seen time is written once in half
	// of it.
	least   = 2 * time.Minute
	longest = 30 * 24 * time.Hour

	defaultPerUser = 10
	maxPerUser     = 100
)

// resolve fills in the defaults and judges every key.
func (c Config) resolve() (Config, error) {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("session."+key+": "+format, args...))
	}
	span := func(key string, v *time.Duration, def time.Duration) {
		if *v != 0 && (*v < least || *v > longest) {
			wrong(key, "%v is out of range: want %v to %v", *v, least, longest)
			*v = 0
		}
		*v = cmp.Or(*v, def)
	}
	span("absolute", &c.Absolute, 24*time.Hour)
	span("idle", &c.Idle, min(time.Hour, c.Absolute))
	span("strict_absolute", &c.StrictAbsolute, min(12*time.Hour, c.Absolute))
	span("strict_idle", &c.StrictIdle, min(15*time.Minute, c.Idle, c.StrictAbsolute))
	for _, k := range []struct {
		key, over  string
		got, limit time.Duration
	}{
		{"idle", "absolute", c.Idle, c.Absolute},
		{"strict_absolute", "absolute", c.StrictAbsolute, c.Absolute},
		{"strict_idle", "idle", c.StrictIdle, c.Idle},
	} {
		if k.got > k.limit {
			wrong(k.key, "%v is more than session.%s (%v)", k.got, k.over, k.limit)
		}
	}
	if c.PerUser < 0 || c.PerUser > maxPerUser {
		wrong("per_user", "%d is out of range: want 1 to %d", c.PerUser, maxPerUser)
	}
	c.PerUser = cmp.Or(c.PerUser, defaultPerUser)
	c.Vault = cmp.Or(c.Vault, "on")
	if c.Vault != "on" && c.Vault != "off" {
		wrong("vault", "%q is none of on, off", c.Vault)
	}
	return c, errors.Join(errs...)
}

// sameGate holds a route to the limits of the session that it shares with all
// others.
func (c Config) sameGate(top Config) error {
	var errs []error
	same := func(key string, equal bool) {
		if !equal {
			errs = append(errs, fmt.Errorf("session.%s: a site or a route cannot differ: all share one session", key))
		}
	}
	same("idle", c.Idle == top.Idle)
	same("absolute", c.Absolute == top.Absolute)
	same("strict_idle", c.StrictIdle == top.StrictIdle)
	same("strict_absolute", c.StrictAbsolute == top.StrictAbsolute)
	same("per_user", c.PerUser == top.PerUser)
	return errors.Join(errs...)
}
