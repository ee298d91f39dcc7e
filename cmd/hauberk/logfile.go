package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"hauberk.dev/guard"
)

const (
	// logFiles is how many files a log consists of, the one that grows included.
	logFiles = 8
	// logSize is how large all of them become together where nobody says.
	logSize = 512 * guard.MiB
	// lookEach is how often the name is looked at: another program may have
	// moved the file away, as logrotate does.
	lookEach = time.Second
	// alarmEach bounds how often a log that cannot be written is complained of.
	alarmEach = time.Minute
)

// logFile is a log that cuts itself: NAME grows, NAME.1 to NAME.7 are what came
// before, the newest first, and together they stay below the size that was
// asked for. Where another program moves NAME away, a new one is begun within a
// second, without a signal.
type logFile struct {
	name  string
	most  int64 // of one file
	alarm func(error)

	mu     sync.Mutex
	file   *os.File
	size   int64
	looked time.Time
	told   time.Time
}

// openLog opens a log below total bytes; 0 is the default. Alarm is told why a
// line was lost, at most once a minute.
func openLog(name string, total guard.Size, alarm func(error)) (*logFile, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	if total == 0 {
		total = logSize
	}
	l := &logFile{name: name, most: int64(total) / logFiles, alarm: alarm}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("log_file: %w", err)
	}
	return l, nil
}

// open goes on with the file, or makes it. A link is not followed and a pipe
// not waited for: whoever can write where the log is must not choose what root
// appends to.
func (l *logFile) open() error {
	f, err := os.OpenFile(l.name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	i, err := f.Stat()
	if err == nil && !i.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", l.name)
	}
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.size, l.looked = f, i.Size(), time.Now()
	return nil
}

// Write appends one line. It never waits for longer than the disk does, and an
// error costs this line alone.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.append(p)
	if err != nil && time.Since(l.told) >= alarmEach {
		l.told = time.Now()
		l.alarm(fmt.Errorf("lines of the log are lost: %w", err))
	}
	return n, err
}

func (l *logFile) append(p []byte) (int, error) {
	if l.file != nil && time.Since(l.looked) >= lookEach {
		l.look()
	}
	if l.file != nil && l.size > 0 && l.size+int64(len(p)) > l.most {
		if err := l.cut(); err != nil {
			return 0, err
		}
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// look lets go of a file that has another name by now, or none.
func (l *logFile) look() {
	l.looked = time.Now()
	mine, err := l.file.Stat()
	if err != nil {
		return
	}
	if there, err := os.Lstat(l.name); err != nil || !os.SameFile(mine, there) {
		l.file.Close()
		l.file = nil
		return
	}
	l.size = mine.Size() // somebody may have emptied it
}

// cut moves every file on by one name, the oldest out. Where a name cannot be
// given away nothing more is written, so that the bound holds.
func (l *logFile) cut() error {
	for n := logFiles - 1; n > 0; n-- {
		from := l.name
		if n > 1 {
			from = l.old(n - 1)
		}
		if err := os.Rename(from, l.old(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	l.file.Close()
	l.file = nil
	return nil
}

func (l *logFile) old(n int) string { return fmt.Sprintf("%s.%d", l.name, n) }

// Close ends the log.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// checkLog says what would keep serve from writing a log. It makes nothing.
func checkLog(name string) error {
	if name == "" {
		return nil
	}
	i, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if i, err = os.Stat(filepath.Dir(name)); err == nil && i.IsDir() {
			return nil // serve makes it
		}
	} else if err == nil && !i.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", name)
	}
	if err != nil {
		return fmt.Errorf("log_file: %w", err)
	}
	return nil
}
