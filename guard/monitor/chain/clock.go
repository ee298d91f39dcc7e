package chain

import (
	"context"
	"time"
)

// A clock that leaps forward would make every row too old at once. So what came
// after a leap of more than leapLimit is believed only after wariness: until
// then rows go by size alone.
const (
	leapLimit = 24 * time.Hour
	wariness  = 24 * time.Hour
	// leapRows is in how many of the newest rows a leap is looked for at the
	// start.
	leapRows = 1000
)

// clock says whether time may be believed when rows are to go by age.
type clock struct {
	until time.Time // by the monotonic clock: when it may
	wall  time.Time // what Beat was told last
	real  time.Time // when that was, by the monotonic clock
	leap  time.Duration
}

// look compares what passed on the wall with what passed.
func (c *clock) look(now time.Time) {
	if !c.real.IsZero() {
		if leap := now.Round(0).Sub(c.wall) - time.Since(c.real); leap > leapLimit {
			c.doubt(leap)
		}
	}
	c.wall, c.real = now.Round(0), time.Now()
}

func (c *clock) doubt(leap time.Duration) {
	c.until, c.leap = time.Now().Add(wariness), leap
}

func (c *clock) believed() bool { return !time.Now().Before(c.until) }

// recall looks for a leap that an earlier process has seen: a gap between two
// of the newest rows, or behind the last one. A journal with nothing to write
// for a day looks the same, and keeps its oldest rows for a day more.
func (w *Writer) recall(ctx context.Context, last uint64, now time.Time) error {
	from := uint64(1)
	if last > leapRows {
		from = last - leapRows
	}
	var before time.Time
	for from <= last {
		rows, err := w.journal.Read(ctx, from, leapRows)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, e := range rows {
			if gap := e.Time.Sub(before); !before.IsZero() && gap > leapLimit && now.Sub(e.Time) < wariness {
				w.clock.doubt(gap)
			}
			before = e.Time
		}
		from = rows[len(rows)-1].Seq + 1
	}
	if gap := now.Sub(before); !before.IsZero() && gap > leapLimit {
		w.clock.doubt(gap)
	}
	return nil
}

// Leap says how far the clock has leapt, or seems to have, while rows are kept
// for that reason; 0 for not.
func (w *Writer) Leap() time.Duration {
	if w.clock.believed() {
		return 0
	}
	return w.clock.leap
}
