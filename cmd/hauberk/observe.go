package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/internal/settings"
)

// longestWatch is how long rules may be watched before they are enforced.
const longestWatch = 90 * 24 * time.Hour

// watched is the reason that the exceptions of --observe give.
const watched = "watched before it is enforced (serve --observe)"

// observation is what --observe asks for: every rule that may be excepted is,
// until a time that restarts and reloads do not move.
type observation struct{ until time.Time }

// watchFor reads the flag.
func watchFor(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := settings.ParseDuration(text)
	switch {
	case err != nil:
		return 0, usagef("--observe: %w", err)
	case d <= 0 || d > longestWatch:
		return 0, usagef("--observe: %s is out of range: want up to 90d", text)
	}
	return d, nil
}

// observingFile says when an observation began: a service that restarts every
// night would else never enforce anything.
func observingFile(dir string) string { return filepath.Join(dir, "observing.json") }

// observe begins an observation, goes on with the one of the last start, or
// forgets that one where none is asked for.
func observe(dir string, d time.Duration, now time.Time) (observation, error) {
	name := observingFile(dir)
	if d == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return observation{}, err
		}
		return observation{}, nil
	}
	var began struct {
		Since time.Time `json:"since"`
	}
	text, err := readSmall(name, 1<<10)
	if err == nil {
		err = json.Unmarshal(text, &began)
	}
	switch {
	case err == nil && !began.Since.After(now):
		return observation{began.Since.Add(d)}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return observation{}, fmt.Errorf("read when the observation began: %w: remove %s to begin anew", err, name)
	}
	began.Since = now.UTC().Truncate(time.Second)
	if text, err = json.Marshal(began); err == nil {
		err = os.WriteFile(name, append(text, '\n'), 0o600)
	}
	return observation{began.Since.Add(d)}, err
}

// over says that the rules are enforced again.
func (o observation) over(now time.Time) bool { return !now.Before(o.until) }

// apply adds one exception for each observable rule, behind those of the file,
// which have better reasons.
func (o observation) apply(l *loaded, now time.Time) error {
	if o.over(now) {
		return nil
	}
	rooms, err := principles()
	if err != nil {
		return err
	}
	l.Exceptions = slices.Clone(l.Exceptions)
	for _, p := range rooms {
		for _, r := range p.Rules {
			if r.Observable {
				l.Exceptions = append(l.Exceptions, guard.Exception{Rule: r.ID, Because: watched, Until: o.until})
			}
		}
	}
	return nil
}

// say tells what an observation leaves, at every start and reload. The rules
// themselves stand among what is weakened.
func (o observation) say(v voice, dir string, now time.Time) {
	switch {
	case o.until.IsZero():
	case o.over(now):
		v.warn("--observe ended on %s and every rule is enforced: leave the flag out", o.until.Local().Format(time.DateTime))
	default:
		v.line("  observes  until %s, then every rule is enforced; `hauberk log impact%s` tells what would be refused",
			o.until.Local().Format(time.DateTime), stateFlag(dir))
	}
}
