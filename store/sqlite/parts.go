package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"hauberk.dev/store"
)

// Get returns the record of key.
func (d *DB) Get(ctx context.Context, key string) (store.Record, bool, error) {
	row := d.read.QueryRowContext(ctx, "SELECT key, value, version, expires FROM records WHERE key=? AND (expires=0 OR expires>?)",
		[]byte(key), time.Now().UnixMilli())
	r, err := scanRecord(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Record{}, false, nil
	}
	return r, err == nil, err
}

func scanRecord(scan func(...any) error) (store.Record, error) {
	var key []byte
	var r store.Record
	var expires int64
	if err := scan(&key, &r.Value, &r.Version, &expires); err != nil {
		return store.Record{}, err
	}
	r.Key = string(key)
	if expires != 0 {
		r.Expires = time.UnixMilli(expires)
	}
	return r, nil
}

// Put writes r if its version stands.
func (d *DB) Put(ctx context.Context, r store.Record) (uint64, error) {
	if err := store.CheckRecord(r); err != nil {
		return 0, err
	}
	var version uint64
	err := d.do(ctx, func(c *sql.Conn) error {
		var err error
		version, err = d.put(c, r)
		return err
	})
	return version, err
}

func (d *DB) put(c *sql.Conn, r store.Record) (uint64, error) {
	ctx := context.Background()
	now := time.Now().UnixMilli()
	var stands uint64
	err := c.QueryRowContext(ctx, "SELECT version FROM records WHERE key=? AND (expires=0 OR expires>?)", []byte(r.Key), now).Scan(&stands)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	if r.Version != store.Any && r.Version != stands {
		return 0, store.ErrConflict
	}
	var version uint64
	if err := c.QueryRowContext(ctx, "UPDATE versions SET last=last+1 RETURNING last").Scan(&version); err != nil {
		return 0, err
	}
	expires := int64(0)
	if !r.Expires.IsZero() {
		expires = max(r.Expires.UnixMilli(), 1)
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	if _, err := c.ExecContext(ctx, `INSERT INTO records VALUES(?,?,?,?)
		ON CONFLICT(key) DO UPDATE SET value=excluded.value, version=excluded.version, expires=excluded.expires`,
		[]byte(r.Key), r.Value, version, expires); err != nil {
		return 0, err
	}
	// A few of what has expired go with each Put, or many Puts would outrun sweep.
	gone, err := c.ExecContext(ctx, removeExpired, now, 8)
	if err != nil {
		return 0, err
	}
	n, err := gone.RowsAffected()
	d.stale = d.stale || stands != 0 || n > 0
	return version, err
}

// Delete removes the record of key if its version stands.
func (d *DB) Delete(ctx context.Context, key string, version uint64) error {
	return d.do(ctx, func(c *sql.Conn) error {
		var stands uint64
		err := c.QueryRowContext(context.Background(), "SELECT version FROM records WHERE key=? AND (expires=0 OR expires>?)",
			[]byte(key), time.Now().UnixMilli()).Scan(&stands)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil && version != store.Any && version != stands {
			return store.ErrConflict
		}
		if err == nil {
			_, err = c.ExecContext(context.Background(), "DELETE FROM records WHERE key=?", []byte(key))
			d.stale = true
		}
		return err
	})
}

// List returns records by key.
func (d *DB) List(ctx context.Context, prefix, after string, n int) ([]store.Record, error) {
	query := "SELECT key, value, version, expires FROM records WHERE key>=? AND key>? AND (expires=0 OR expires>?)"
	args := []any{[]byte(prefix), []byte(after), time.Now().UnixMilli()}
	if end := behind(prefix); end != nil {
		query += " AND key<?"
		args = append(args, end)
	}
	rows, err := d.read.QueryContext(ctx, query+" ORDER BY key LIMIT ?", append(args, store.Page(n))...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []store.Record
	for rows.Next() {
		r, err := scanRecord(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// behind returns the first key that no longer begins with prefix, nil for none.
func behind(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// overtaken is how long a full bucket is kept for requests with an earlier time.
const overtaken = 10 * time.Minute

// Take takes from the bucket of key.
func (d *DB) Take(ctx context.Context, key string, cost int, rate store.Rate, now time.Time) (store.Decision, error) {
	if len(key) > store.MaxKey {
		return store.Decision{}, store.ErrTooLarge
	}
	var decision store.Decision
	err := d.do(ctx, func(c *sql.Conn) error {
		ctx := context.Background()
		t, full := now.UnixNano(), int64(0)
		err := c.QueryRowContext(ctx, `SELECT "full" FROM buckets WHERE key=?`, []byte(key)).Scan(&full)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		full, decision = rate.Take(full, t, cost)
		if _, err := c.ExecContext(ctx, `INSERT INTO buckets VALUES(?,?) ON CONFLICT(key) DO UPDATE SET "full"=excluded."full"`, []byte(key), full); err != nil {
			return err
		}
		_, err = c.ExecContext(ctx, `DELETE FROM buckets WHERE key IN (SELECT key FROM buckets WHERE "full"<=? LIMIT 4)`,
			t-int64(overtaken))
		return err
	})
	return decision, err
}
