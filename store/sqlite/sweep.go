package sqlite

import (
	"context"
	"time"
)

const (
	// sweepEach is how often the writer looks for records that have expired.
	sweepEach = time.Second
	// sweepStep is how many go at once: whoever writes behind it waits for some
	// milliseconds.
	sweepStep = 256
)

// sweep removes a part of what has expired: a sealed field must be gone in its
// time although nothing else is written. The file is told to write zeros over
// what is deleted (secure_delete), and the log beside it, which holds it too, is
// emptied once nobody waits. What fails is tried again a second later.
func (d *DB) sweep() {
	ctx, now := context.Background(), time.Now().UnixMilli()
	var expired bool
	const some = "SELECT EXISTS(SELECT 1 FROM records WHERE expires>0 AND expires<=?)"
	if d.conn.QueryRowContext(ctx, some, now).Scan(&expired) != nil {
		return
	}
	if expired {
		if _, err := d.conn.ExecContext(ctx, removeExpired, now, sweepStep); err != nil {
			return
		}
		d.stale = true
	}
	if d.stale && len(d.ops) == 0 {
		d.stale = !d.emptyLog(ctx)
	}
}

const removeExpired = "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE expires>0 AND expires<=? LIMIT ?)"

// emptyLog moves the log into the file, unless a reader is in the way: a copy
// of the store may take long, and no write should wait for it.
func (d *DB) emptyLog(ctx context.Context) bool {
	if _, err := d.conn.ExecContext(ctx, "PRAGMA busy_timeout=0"); err != nil {
		return false
	}
	var busy, pages, moved int
	err := d.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	if _, again := d.conn.ExecContext(ctx, "PRAGMA busy_timeout="+patience); err == nil {
		err = again
	}
	return err == nil && busy == 0
}
