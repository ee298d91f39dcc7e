// Package sqlite keeps a store in one file.
//
// One goroutine writes, and takes all that waits into one transaction, so that
// a hundred writers cost one flush of the disk. What it has acknowledged is on
// the disk (write-ahead log, flushed at each commit): it outlives the process
// and the machine's power. Readers never wait for the writer.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"hauberk.dev/store"
)

// DB is a store in a file. It is safe for use by many goroutines; one process
// may write and others read.
type DB struct {
	file  string
	read  *sql.DB
	write *sql.DB // nil: read-only
	conn  *sql.Conn
	ops   chan *op
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
	stale bool // the log may hold what was deleted; the writer's

	mu    sync.Mutex
	tally *tally // of the journal; nil: not counted yet
}

// querier is a connection, or a pool of them.
type querier interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

const (
	schemaVersion = 1
	// appID marks the file as Hauberk's, "hbrk".
	appID  = 0x6862726b
	schema = `
CREATE TABLE records(key BLOB NOT NULL UNIQUE, value BLOB NOT NULL, version INTEGER NOT NULL, expires INTEGER NOT NULL);
CREATE INDEX records_expires ON records(expires) WHERE expires > 0;
CREATE TABLE versions(last INTEGER NOT NULL);
INSERT INTO versions VALUES(0);
CREATE TABLE buckets(key BLOB PRIMARY KEY, "full" INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX buckets_full ON buckets("full");
CREATE TABLE journal(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, data BLOB NOT NULL, sum BLOB NOT NULL);
CREATE TABLE head(first INTEGER NOT NULL, last INTEGER NOT NULL, size INTEGER NOT NULL, seal BLOB);
INSERT INTO head VALUES(1, 0, 0, NULL);`
)

// patience is how many milliseconds a lock of another process is waited for.
const patience = "5000"

// readCache is what each of the four readers of a serving process keeps of the
// file, 8 MiB at most. The upper pages of the tree of a million records are some
// 5 MiB: with SQLite's own 2 MiB they push each other out, and each look-up reads
// four or five pages in place of two. It is bought when it is used.
const readCache = "cache_size(-8192)"

// dsn is the address of file with settings for each connection.
func dsn(file string, settings ...string) string {
	q := url.Values{"_pragma": {"busy_timeout(" + patience + ")", "trusted_schema(0)", "cell_size_check(1)"}}
	for i := 0; i+1 < len(settings); i += 2 {
		q.Add(settings[i], settings[i+1])
	}
	return (&url.URL{Scheme: "file", Path: file, RawQuery: q.Encode()}).String()
}

// Open opens or makes the store in file, which only its owner can read.
func Open(file string) (*DB, error) {
	d, err := open(file)
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", file, err)
	}
	return d, nil
}

func open(file string) (*DB, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	// SQLite gives the files beside it the mode of this one.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if info.Size() > 0 {
		if err := ours(file); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(file, 0o600); err != nil {
		return nil, err
	}
	d := &DB{file: file, ops: make(chan *op, maxBatch), stop: make(chan struct{}), done: make(chan struct{})}
	if d.write, err = sql.Open("sqlite", dsn(file, "_pragma", "journal_mode(WAL)", "_pragma", "synchronous(FULL)", "_pragma", "secure_delete(1)", "_pragma", "wal_autocheckpoint(256)", "_pragma", "journal_size_limit(16777216)")); err != nil {
		return nil, err
	}
	d.write.SetMaxOpenConns(1)
	ctx := context.Background()
	if d.conn, err = d.write.Conn(ctx); err == nil {
		err = prepare(ctx, d.conn)
	}
	if err == nil {
		err = d.openRead(dsn(file, "mode", "ro", "_pragma", readCache))
	}
	if err != nil {
		d.closeFiles()
		return nil, err
	}
	go d.work()
	return d, nil
}

// ours looks at a file before anything in it is changed.
func ours(file string) error {
	db, err := sql.Open("sqlite", dsn(file, "mode", "ro"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = isOurs(context.Background(), db)
	return err
}

// isOurs says whether the tables are there; the error is that the file belongs
// to somebody else.
func isOurs(ctx context.Context, db querier) (bool, error) {
	version, id, tables, acts := 0, 0, 0, 0
	for query, to := range map[string]*int{
		"PRAGMA user_version": &version, "PRAGMA application_id": &id, "SELECT count(*) FROM sqlite_schema": &tables,
		"SELECT count(*) FROM sqlite_schema WHERE type IN ('trigger', 'view')": &acts,
	} {
		if err := db.QueryRowContext(ctx, query).Scan(to); err != nil {
			return false, err
		}
	}
	switch {
	case id == appID && acts > 0:
		return false, errors.New("somebody has put triggers or views into it, which Hauberk never makes: restore it from a backup")
	case id == appID && version != schemaVersion:
		return false, fmt.Errorf("it was written by another version of Hauberk (format %d, this one reads %d)", version, schemaVersion)
	case id != appID && (id != 0 || version != 0 || tables != 0):
		return false, errors.New("it is a database of another program")
	}
	return id == appID, nil
}

// prepare makes the tables where they are missing.
func prepare(ctx context.Context, c *sql.Conn) error {
	if ready, err := isOurs(ctx, c); ready || err != nil {
		return err
	}
	_, err := c.ExecContext(ctx, fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version=%d; PRAGMA application_id=%d; COMMIT", schema, schemaVersion, appID))
	return err
}

// OpenReadOnly opens the store in file while another process may write to it,
// or on a disk that nobody can write to. It changes nothing. Without the file
// the error is fs.ErrNotExist.
func OpenReadOnly(file string) (*DB, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	d := &DB{file: file}
	err = d.openRead(dsn(file, "mode", "ro"))
	if err != nil && !exists(file+"-wal") {
		// Where no file can be made, nobody is writing either.
		err = d.openRead(dsn(file, "mode", "ro", "immutable", "1"))
	}
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", file, err)
	}
	return d, nil
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return !errors.Is(err, fs.ErrNotExist)
}

func (d *DB) openRead(name string) error {
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(4)
	ready, err := isOurs(context.Background(), db)
	if err == nil && !ready {
		err = errors.New("it is empty")
	}
	if err != nil {
		db.Close()
		return err
	}
	d.read = db
	return nil
}

// Store returns d as the engine of all three parts. A server that counts requests
// takes store.NewBuckets() for the second: here each decision waits for the disk.
func (d *DB) Store() *store.Store { return &store.Store{Records: d, Buckets: d, Journal: d} }

// Snapshot writes the store as it stands at one moment to a new file, while
// others go on writing.
func (d *DB) Snapshot(ctx context.Context, file string) error {
	// SQLite would make it readable to others.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if _, err := d.read.ExecContext(ctx, "VACUUM INTO ?", file); err != nil {
		os.Remove(file)
		return fmt.Errorf("copy store %q: %w", d.file, err)
	}
	return nil
}

// Close ends the writer after what it was given, and closes the file.
func (d *DB) Close() error {
	d.once.Do(func() {
		if d.stop != nil {
			close(d.stop)
			<-d.done
		}
	})
	return d.closeFiles()
}

func (d *DB) closeFiles() error {
	var errs []error
	if d.read != nil {
		errs = append(errs, d.read.Close())
	}
	if d.conn != nil {
		if err := d.conn.Close(); !errors.Is(err, sql.ErrConnDone) {
			errs = append(errs, err)
		}
	}
	if d.write != nil {
		errs = append(errs, d.write.Close())
	}
	return errors.Join(errs...)
}
