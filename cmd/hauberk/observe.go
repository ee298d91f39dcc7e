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
	"hauberk.dev/internal/disk"
	"hauberk.dev/internal/settings"
)

// longestWatch is how long rules may be watched before they are enforced.
const longestWatch = 90 * 24 * time.Hour

// watched is the reason that the exceptions of --observe give.
const watched = "watched before it is enforced (serve --observe)"

// observation is what --observe asks for: every rule that may be excepted is,
// until a time that restarts and reloads do not move.
type observation struct {
	span
	// failed is why every rule is enforced although it should be watched.
	failed error
	// longer says that the flag asks for more than the first start did.
	longer bool
}

// span is when an observation began and when it ends, as it was promised at the
// first start. A clock that is wrong for a while moves neither.
type span struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// check refuses what no start has written.
func (s span) check() error {
	if d := s.Until.Sub(s.Since); s.Since.IsZero() || d <= 0 || d > longestWatch {
		return errors.New("it has no begin, or no end within 90 days of it")
	}
	return nil
}

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

// observingFile keeps the span: a service that restarts every night would else
// never enforce anything.
func observingFile(dir string) string { return filepath.Join(dir, "observing.json") }

// observe begins an observation, goes on with the one of the last start, or
// forgets that one where none is asked for. Whatever fails, nothing is watched
// and everything enforced: neither a torn file nor a full disk lets more pass.
func observe(dir string, d time.Duration, now time.Time) observation {
	name := observingFile(dir)
	if d == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return observation{failed: fmt.Errorf("forget the last observation: %w", err)}
		}
		return observation{}
	}
	kept, err := readSpan(name)
	if errors.Is(err, fs.ErrNotExist) {
		kept.Since = now.UTC().Truncate(time.Second)
		kept.Until = kept.Since.Add(d)
		if err := kept.write(name); err != nil {
			return observation{failed: fmt.Errorf("keep when the observation ends: %w", err)}
		}
		return observation{span: kept}
	}
	if err != nil {
		return observation{failed: fmt.Errorf("read when the observation ends: %s: %w: remove it and start again to observe anew", name, err)}
	}
	asked := kept.Since.Add(d)
	o := observation{span: kept, longer: asked.After(kept.Until)}
	if asked.Before(kept.Until) {
		o.Until = asked
		if err := o.write(name); err != nil {
			o.failed = fmt.Errorf("keep when the observation ends: %w", err)
		}
	}
	return o
}

func readSpan(name string) (span, error) {
	var s span
	text, err := readSmall(name, 1<<10)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err == nil {
		err = s.check()
	}
	return s, err
}

func (s span) write(name string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return disk.Replace(name, append(text, '\n'), 0o600)
}

// over says that the rules are enforced.
func (o observation) over(now time.Time) bool { return o.failed != nil || !now.Before(o.Until) }

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
				l.Exceptions = append(l.Exceptions, guard.Exception{Rule: r.ID, Because: watched, Until: o.Until})
			}
		}
	}
	return nil
}

// say tells what an observation leaves, at every start and reload. The rules
// themselves stand among what is weakened.
func (o observation) say(v voice, dir string, now time.Time) {
	end := o.Until.Local().Format(time.DateTime)
	switch {
	case o.failed != nil:
		v.warn("--observe: every rule is enforced, nothing is watched: %s", o.failed)
	case o.Until.IsZero():
	case o.over(now):
		v.warn("--observe ended on %s and every rule is enforced: leave the flag out", end)
	default:
		v.line("  observes  until %s, then every rule is enforced; `hauberk log impact%s` tells what would be refused", end, stateFlag(dir))
	}
	if o.longer {
		v.warn("--observe asks for longer than the first start did, which set the end to %s: start once without it to observe anew", end)
	}
	if now.Before(o.Since) {
		v.warn("--observe: the clock stands before the observation began (%s): is it right?", o.Since.Local().Format(time.DateTime))
	}
}
