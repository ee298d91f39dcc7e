package sqlite

import (
	"context"
	"database/sql"
	"errors"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"hauberk.dev/store"
)

// maxBatch is how many operations share a transaction.
const maxBatch = 256

// op is one operation that waits for the writer.
type op struct {
	ctx context.Context
	// run may be called twice: alone, after a batch has failed.
	run func(*sql.Conn) error
	err error
	end chan struct{}
}

// do runs one operation in a transaction and returns when it is on the disk.
// After a context has ended under way, it may be there or not.
func (d *DB) do(ctx context.Context, run func(*sql.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.write == nil {
		return errors.New("the store was opened for reading")
	}
	o := &op{ctx: ctx, run: run, end: make(chan struct{})}
	select {
	case <-d.stop:
		return store.ErrClosed
	default:
	}
	select {
	case d.ops <- o:
	case <-d.stop:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-o.end:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	case <-d.done:
		select {
		case <-o.end:
			return o.err
		default:
			return store.ErrClosed // it came while the writer ended
		}
	}
}

// work is the one writer.
func (d *DB) work() {
	defer close(d.done)
	for {
		select {
		case o := <-d.ops:
			d.commit(d.gather(o))
		case <-d.stop:
			for {
				select {
				case o := <-d.ops:
					d.commit(d.gather(o))
				default:
					return
				}
			}
		}
	}
}

// gather takes what waits behind o.
func (d *DB) gather(o *op) []*op {
	batch := []*op{o}
	for len(batch) < maxBatch {
		select {
		case o := <-d.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch, with a second try on a full disk. If that fails each operation gets a transaction of
// its own, so that only those fail which are to blame.
func (d *DB) commit(batch []*op) {
	err := d.transact(batch)
	if isFull(err) {
		// What the log beside the file holds moves into the file: on a full disk
		// that may be all the room there is.
		_, _ = d.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
		err = d.transact(batch)
	}
	for _, o := range batch {
		switch {
		case err != nil && len(batch) > 1:
			if alone := d.transact([]*op{o}); alone != nil {
				o.err = alone
			}
		case err != nil:
			o.err = err
		}
		close(o.end)
	}
}

// isFull says whether the disk took no more, as SQLite or the system tells it.
func isFull(err error) bool {
	var e *driver.Error
	if !errors.As(err, &e) {
		return false
	}
	primary := e.Code() & 0xff
	return primary == sqlite3.SQLITE_FULL || primary == sqlite3.SQLITE_IOERR
}

// harmless says whether an operation refused before it had written anything.
func harmless(err error) bool {
	return errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrTooLarge) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (d *DB) transact(batch []*op) error {
	ctx := context.Background()
	if _, err := d.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, o := range batch {
		o.err = o.ctx.Err()
		if o.err == nil {
			o.err = o.run(d.conn)
		}
		if o.err != nil && !harmless(o.err) {
			d.rollback()
			return o.err
		}
	}
	if _, err := d.conn.ExecContext(ctx, "COMMIT"); err != nil {
		d.rollback()
		return err
	}
	return nil
}

// rollback ends the transaction; SQLite may have done so itself.
func (d *DB) rollback() { _, _ = d.conn.ExecContext(context.Background(), "ROLLBACK") }
