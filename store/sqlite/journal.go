package sqlite

import (
	"context"
	"database/sql"
	"time"

	"hauberk.dev/store"
)

// Append adds rows and replaces the seal.
func (d *DB) Append(ctx context.Context, rows []store.Entry, seal []byte) error {
	return d.do(ctx, func(c *sql.Conn) error { return d.appendRows(c, rows, seal) })
}

func (d *DB) appendRows(c *sql.Conn, rows []store.Entry, seal []byte) error {
	ctx := context.Background()
	t, err := d.count(ctx, c)
	if err != nil {
		return err
	}
	if err := store.CheckRows(rows, t.last); err != nil {
		return err
	}
	if len(rows) > 0 {
		insert, err := c.PrepareContext(ctx, "INSERT INTO journal VALUES(?,?,?,?)")
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, e := range rows {
			if _, err := insert.ExecContext(ctx, e.Seq, e.Time.UnixNano(), blob(e.Data), blob(e.Sum)); err != nil {
				return err
			}
			t.size += e.Cost()
		}
	}
	t.last += uint64(len(rows))
	d.known(t)
	_, err = c.ExecContext(ctx, "UPDATE head SET last=?, size=?, seal=?", t.last, t.size, seal)
	return err
}

// tally is what the writer knows of the rows. The size that stands in the file
// is for other processes: whoever can write there must not be believed, since
// rows are pruned by it.
type tally struct {
	first, last uint64
	size        int64
}

// count returns what stands, counted anew where this process has not written
// it: once at the start, and where a transaction was undone.
func (d *DB) count(ctx context.Context, c *sql.Conn) (tally, error) {
	var t tally
	if err := c.QueryRowContext(ctx, "SELECT first, last FROM head").Scan(&t.first, &t.last); err != nil {
		return t, err
	}
	if known, ok := d.recall(t.first, t.last); ok {
		return known, nil
	}
	err := c.QueryRowContext(ctx, "SELECT coalesce(sum(length(data)+length(sum)+?),0) FROM journal", store.RowSize).Scan(&t.size)
	if err == nil {
		d.known(t)
	}
	return t, err
}

func (d *DB) known(t tally) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tally = &t
}

func (d *DB) recall(first, last uint64) (tally, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tally == nil || d.tally.first != first || d.tally.last != last {
		return tally{}, false
	}
	return *d.tally, true
}

// blob is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Read returns rows from a number on.
func (d *DB) Read(ctx context.Context, from uint64, n int) ([]store.Entry, error) {
	rows, err := d.read.QueryContext(ctx, "SELECT seq, time, data, sum FROM journal WHERE seq>=? ORDER BY seq LIMIT ?", int64(min(from, 1<<62)), store.Page(n))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []store.Entry
	for rows.Next() {
		var e store.Entry
		var at int64
		if err := rows.Scan(&e.Seq, &at, &e.Data, &e.Sum); err != nil {
			return nil, err
		}
		e.Time = time.Unix(0, at).UTC()
		out = append(out, e)
	}
	return out, rows.Err()
}

// pruneStep is how many rows go in one transaction: a writer behind it waits
// for some milliseconds.
const pruneStep = 1000

// Prune removes the oldest rows.
func (d *DB) Prune(ctx context.Context, before uint64) (bool, error) {
	done := false
	err := d.do(ctx, func(c *sql.Conn) error {
		ctx := context.Background()
		t, err := d.count(ctx, c)
		if err != nil {
			return err
		}
		end := min(before, t.last+1)
		if done = end <= t.first; done {
			return nil
		}
		step := min(end, t.first+pruneStep)
		done = step == end
		var size int64
		if err := c.QueryRowContext(ctx, "SELECT coalesce(sum(length(data)+length(sum)+?),0) FROM journal WHERE seq<?", store.RowSize, step).Scan(&size); err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, "DELETE FROM journal WHERE seq<?", step); err != nil {
			return err
		}
		d.stale = true
		t.first, t.size = step, t.size-size
		d.known(t)
		_, err = c.ExecContext(ctx, "UPDATE head SET first=?, size=?", t.first, t.size)
		return err
	})
	return done, err
}

// Head says what stands. The size is counted, or, in a store that was opened
// for reading, the one that the writer left.
func (d *DB) Head(ctx context.Context) (store.Head, error) {
	h, err := d.head(ctx, d.read)
	if err != nil || d.write == nil {
		return h, err
	}
	if t, ok := d.recall(h.First, h.Last); ok {
		h.Size = t.size
		return h, nil
	}
	err = d.do(ctx, func(c *sql.Conn) error {
		t, err := d.count(context.Background(), c)
		if err == nil {
			h, err = d.head(context.Background(), c)
			h.Size = t.size
		}
		return err
	})
	return h, err
}

func (d *DB) head(ctx context.Context, from querier) (h store.Head, err error) {
	err = from.QueryRowContext(ctx, "SELECT first, last, size, seal FROM head").Scan(&h.First, &h.Last, &h.Size, &h.Seal)
	return h, err
}
