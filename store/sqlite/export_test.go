package sqlite

import (
	"context"
)

// Pragma changes a setting of the writer, outside a transaction, to break it.
func Pragma(d *DB, setting string) error {
	_, err := d.conn.ExecContext(context.Background(), "PRAGMA "+setting)
	return err
}
