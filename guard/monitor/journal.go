package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// eventsName is the folder of the files in the state folder.
const eventsName = "events"

// maxBatch is how much is written at once; what is queued is written as soon
// as the disk has taken what came before.
const maxBatch = 256 << 10

// journal writes entries to the log and to the files, behind a queue.
type journal struct {
	dir     string // "": no files
	size    int64
	keep    int
	log     *slog.Logger
	metrics *metrics
	queue   chan Entry
	dropped atomic.Int64 // since last told

	// The rest belongs to the goroutine of run.
	file    *os.File
	written int64
	torn    bool // the file ends inside a line
	retry   time.Time
	batch   []byte
	inBatch int
}

func newJournal(state string, c Config, log *slog.Logger, m *metrics) *journal {
	j := &journal{size: int64(c.EventFile), keep: c.EventFiles, log: log, metrics: m, queue: make(chan Entry, c.Queue)}
	if state != "" {
		j.dir = filepath.Join(state, eventsName)
	}
	return j
}

// put queues e, or drops and counts it.
func (j *journal) put(e Entry) {
	select {
	case j.queue <- e:
	default:
		j.drop(max(e.Folded, 1))
	}
}

func (j *journal) drop(n int) {
	j.dropped.Add(int64(n))
	j.metrics.dropped.Add(float64(n))
}

// line writes e to the log.
func (j *journal) line(e Entry) {
	r := e.record()
	if h := j.log.Handler(); h.Enabled(context.Background(), r.Level) {
		h.Handle(context.Background(), r)
	}
}

// run writes until stop closes, and then all that is still queued.
func (j *journal) run(stop <-chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	defer j.close()
	for {
		select {
		case e := <-j.queue:
			j.take(e)
		case <-t.C:
			j.tell()
		case <-stop:
			j.drain()
			j.tell()
			return
		}
	}
}

// take writes e and what is queued behind it in as few writes as fit.
func (j *journal) take(e Entry) {
	j.line(e)
	j.add(e)
	for j.inBatch > 0 && len(j.batch) < maxBatch {
		select {
		case e := <-j.queue:
			j.line(e)
			j.add(e)
		default:
			j.write()
			return
		}
	}
	j.write()
}

func (j *journal) drain() {
	for {
		select {
		case e := <-j.queue:
			j.take(e)
		default:
			return
		}
	}
}

// tell reports drops once a second at most.
func (j *journal) tell() {
	if n := j.dropped.Swap(0); n > 0 {
		j.log.LogAttrs(context.Background(), slog.LevelError, "events dropped", slog.Int64("count", n))
	}
}

func (j *journal) add(e Entry) {
	if j.dir == "" {
		return
	}
	text, err := json.Marshal(e)
	if err != nil { // strings, numbers and times always marshal
		j.drop(max(e.Folded, 1))
		return
	}
	j.batch = append(append(j.batch, text...), '\n')
	j.inBatch += max(e.Folded, 1)
}

// write appends the batch to the file. What the disk does not take is dropped
// and counted: a full disk stops neither the server nor the log.
func (j *journal) write() {
	if j.inBatch == 0 {
		return
	}
	batch, n := j.batch, j.inBatch
	j.batch, j.inBatch = j.batch[:0], 0
	if err := j.open(int64(len(batch))); err != nil {
		j.failed("open events", err, n)
		return
	}
	if j.torn {
		batch = append([]byte{'\n'}, batch...)
	}
	wrote, err := j.file.Write(batch)
	j.written += int64(wrote)
	if wrote > 0 {
		j.torn = batch[wrote-1] != '\n'
	}
	if err != nil {
		j.failed("write events", err, n)
	}
}

func (j *journal) failed(what string, err error, n int) {
	j.drop(n)
	j.metrics.failures.Inc()
	j.close()
	if now := time.Now(); now.After(j.retry) {
		j.retry = now.Add(time.Second)
		j.log.LogAttrs(context.Background(), slog.LevelError, what, slog.String("error", err.Error()))
	}
}

func (j *journal) close() {
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
}

// open makes sure that there is a file with room for n bytes more. Files are
// numbered and never renamed, so that a crash at any point loses none.
func (j *journal) open(n int64) error {
	if j.file != nil && (j.written == 0 || j.written+n <= j.size) {
		return nil
	}
	rotate := j.file != nil
	j.close()
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(j.dir, 0o700); err != nil {
		return err
	}
	names, err := eventFiles(j.dir)
	if err != nil {
		return err
	}
	number := 1
	if len(names) > 0 {
		number = fileNumber(names[len(names)-1])
		if info, err := os.Stat(names[len(names)-1]); rotate || err != nil || info.Size() > 0 && info.Size()+n > j.size {
			number++
		}
	}
	name := filepath.Join(j.dir, fmt.Sprintf("%08d.jsonl", number))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := j.adopt(f); err != nil {
		f.Close()
		return err
	}
	return j.prune()
}

// adopt goes on with f, whatever a crash has left at its end.
func (j *journal) adopt(f *os.File) error {
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	j.written, j.torn = info.Size(), false
	if j.written > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, j.written-1); err != nil {
			return err
		}
		j.torn = last[0] != '\n'
	}
	j.file = f
	return nil
}

// prune removes the oldest files beyond what is kept.
func (j *journal) prune() error {
	names, err := eventFiles(j.dir)
	if err != nil {
		return err
	}
	for len(names) > j.keep {
		if err := os.Remove(names[0]); err != nil {
			return err
		}
		names = names[1:]
	}
	return nil
}

// eventFiles returns the files of dir, oldest first.
func eventFiles(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range list {
		if d.Type()&fs.ModeType == 0 && fileNumber(d.Name()) > 0 {
			names = append(names, filepath.Join(dir, d.Name()))
		}
	}
	slices.SortFunc(names, func(a, b string) int { return fileNumber(a) - fileNumber(b) })
	return names, nil
}

// fileNumber returns the number in the name of a file, 0 for another file.
func fileNumber(name string) int {
	digits, ok := strings.CutSuffix(filepath.Base(name), ".jsonl")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 {
		return 0
	}
	return n
}
