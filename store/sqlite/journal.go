package sqlite

import (
	"context"
	"database/sql"
	"time"

	"hauberk.dev/store"
)

// Append adds rows and replaces the seal.
func (d *DB) Append(ctx context.Context, rows []store.Entry, seal []byte) error {
	return d.do(ctx, func(c *sql.Conn) error { return appendRows(c, rows, seal) })
}

func appendRows(c *sql.Conn, rows []store.Entry, seal []byte) error {
	ctx := context.Background()
	var last uint64
	if err := c.QueryRowContext(ctx, "SELECT last FROM head").Scan(&last); err != nil {
		return err
	}
	if err := store.CheckRows(rows, last); err != nil {
		return err
	}
	size := int64(0)
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
			size += e.Cost()
		}
	}
	_, err := c.ExecContext(ctx, "UPDATE head SET last=?, size=size+?, seal=?", last+uint64(len(rows)), size, seal)
	return err
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
		var first, last uint64
		if err := c.QueryRowContext(ctx, "SELECT first, last FROM head").Scan(&first, &last); err != nil {
			return err
		}
		end := min(before, last+1)
		if done = end <= first; done {
			return nil
		}
		step := min(end, first+pruneStep)
		done = step == end
		var size int64
		if err := c.QueryRowContext(ctx, "SELECT coalesce(sum(length(data)+length(sum)+?),0) FROM journal WHERE seq<?", store.RowSize, step).Scan(&size); err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, "DELETE FROM journal WHERE seq<?", step); err != nil {
			return err
		}
		d.stale = true
		_, err := c.ExecContext(ctx, "UPDATE head SET first=?, size=max(size-?,0)", step, size)
		return err
	})
	return done, err
}

// Head says what stands.
func (d *DB) Head(ctx context.Context) (store.Head, error) {
	var h store.Head
	err := d.read.QueryRowContext(ctx, "SELECT first, last, size, seal FROM head").Scan(&h.First, &h.Last, &h.Size, &h.Seal)
	return h, err
}
