package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"hauberk.dev/store"
)

// maxBatch is how many operations share a transaction.
const maxBatch = 256

// op is one operation that waits for the writer. Until the writer takes it, its
// caller may leave; then its rows, its value and its results are the writer's
// until the end.
type op struct {
	ctx  context.Context
	held atomic.Bool // by the writer, or given up by the caller
	// run may be called twice: alone, after a batch has failed.
	run func(*sql.Conn) error
	err error
	end chan struct{}
}

// seize is true for the first who asks.
func (o *op) seize() bool { return o.held.CompareAndSwap(false, true) }

// finish tells the caller.
func (o *op) finish(err error) {
	o.err = err
	close(o.end)
}

// do runs one operation in a transaction and returns when it is on the disk.
// An error of its context means that nothing was written.
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
		if o.seize() {
			return ctx.Err()
		}
		<-o.end // a transaction's time
		return o.err
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
	sweep := time.NewTicker(sweepEach)
	defer sweep.Stop()
	for {
		select {
		case o := <-d.ops:
			d.commit(d.gather(o))
		case <-sweep.C:
			d.sweep()
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

// commit writes a batch, with a second try on a full disk. If that fails each
// operation gets a transaction of its own, so that only those fail which are to
// blame. Where none could even begin, as in a file that another process has
// locked, nobody in the batch is to blame, and one wait is enough for all.
func (d *DB) commit(batch []*op) {
	batch = waiting(batch)
	begun, err := d.transact(batch)
	if isFull(err) {
		// What the log beside the file holds moves into the file: on a full disk
		// that may be all the room there is.
		_, _ = d.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
		begun, err = d.transact(batch)
	}
	if err == nil {
		for _, o := range batch {
			o.finish(o.err)
		}
		return
	}
	for _, o := range batch {
		if begun && len(batch) > 1 {
			o.err = nil
			begun, err = d.transact([]*op{o})
			if err == nil {
				err = o.err
			}
		}
		o.finish(err)
	}
}

// waiting leaves out what nobody waits for any more.
func waiting(batch []*op) []*op {
	var left []*op
	for _, o := range batch {
		if err := o.ctx.Err(); err == nil {
			left = append(left, o)
		} else {
			o.finish(err)
		}
	}
	return left
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

// transact runs a batch in one transaction, and says whether that had begun.
func (d *DB) transact(batch []*op) (begun bool, err error) {
	if len(batch) == 0 {
		return false, nil
	}
	ctx := context.Background()
	if _, err := d.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return false, err
	}
	for _, o := range batch {
		o.seize() // or it has been before; whoever left has a context that is done
		if o.err = o.ctx.Err(); o.err == nil {
			o.err = o.run(d.conn)
		}
		if o.err != nil && !harmless(o.err) {
			d.rollback()
			return true, o.err
		}
	}
	if _, err := d.conn.ExecContext(ctx, "COMMIT"); err != nil {
		d.rollback()
		return true, err
	}
	return true, nil
}

// rollback ends the transaction; SQLite may have done so itself.
func (d *DB) rollback() { _, _ = d.conn.ExecContext(context.Background(), "ROLLBACK") }
