package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
	"hauberk.dev/guard/monitor/chain"
	"hauberk.dev/store"
)

const (
	// maxBatch and maxRows are how much is written at once; what is queued is
	// written as soon as the disk has taken what came before.
	maxBatch = 256 << 10
	maxRows  = 1024
	// headEach is how often a head is signed.
	headEach = time.Minute
	// memorySize bounds a journal that no engine keeps.
	memorySize = 16 << 20
	// patience is how long the engine may take before its batch counts as lost.
	patience = 10 * time.Second
)

// maxEarly is how many events wait while nobody does the background work.
const maxEarly = 256

// queued is an entry on its way, with the refused field if it is to be kept.
type queued struct {
	Entry
	value string
	said  bool // the log has it
}

// journal writes entries to the log and to the store, behind a queue.
type journal struct {
	dir     string
	store   *store.Store
	limits  chain.Limits
	log     *slog.Logger
	metrics *metrics
	queue   chan queued
	dropped atomic.Int64 // since last told
	// The rest belongs to the goroutine of run.
	writer      *chain.Writer // nil: not open yet
	fields      *fields       // nil: none are kept
	fieldsAsked bool
	wary        bool  // the log has that the clock leapt
	told        int64 // drops that the log has, and the journal does not yet
	retry       time.Time
	batch       []queued
	bytes       int
}

func newJournal(o Options, c Config, log *slog.Logger, m *metrics) *journal {
	j := &journal{
		log: log, metrics: m, queue: make(chan queued, c.Queue),
		limits: chain.Limits{Age: c.Keep, Size: int64(c.Size)},
	}
	if o.Store != nil && o.Dir != "" {
		j.dir, j.store = o.Dir, o.Store
	} else {
		// Keys without rows, or rows without keys, would prove nothing.
		j.store = store.Memory()
		j.limits.Size = min(j.limits.Size, memorySize)
	}
	return j
}

// put queues q, or drops and counts it.
func (j *journal) put(q queued) {
	select {
	case j.queue <- q:
	default:
		j.drop(q.count())
	}
}

// early queues what came while nobody writes: the first events of a process,
// and the last.
func (j *journal) early(q queued) {
	if len(j.queue) >= maxEarly {
		j.drop(q.count())
		return
	}
	j.put(q)
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
	second, minute := time.NewTicker(time.Second), time.NewTicker(headEach)
	defer second.Stop()
	defer minute.Stop()
	j.open() // now, so that the first event does not wait for it
	for {
		select {
		case q := <-j.queue:
			j.take(q)
		case <-second.C:
			j.tell()
		case <-minute.C:
			j.beat()
		case <-stop:
			for len(j.queue) > 0 {
				j.take(<-j.queue)
			}
			j.tell()
			j.beat()
			return
		}
	}
}

// take writes q and what is queued behind it in as few batches as fit.
func (j *journal) take(q queued) {
	j.add(q)
	for len(j.batch) > 0 && j.bytes < maxBatch && len(j.batch) < maxRows {
		select {
		case q := <-j.queue:
			j.add(q)
		default:
			j.write()
			return
		}
	}
	j.write()
}

func (j *journal) add(q queued) {
	j.batch = append(j.batch, q)
	j.bytes += len(q.Detail) + 256
	for _, v := range q.Attrs {
		j.bytes += len(v)
	}
}

// write commits the batch. What the store does not take is dropped and
// counted: a full disk stops neither the server nor the log.
func (j *journal) write() {
	batch := j.batch
	j.batch, j.bytes = nil, 0
	if err := j.commit(batch); err != nil {
		for _, q := range batch {
			j.drop(q.count())
		}
		j.failed("write events", err)
	}
	for _, q := range batch {
		if !q.said {
			j.line(q.Entry)
		}
	}
}

var errNotOpen = errors.New("the journal is not open")

func (j *journal) commit(batch []queued) error {
	if !j.open() {
		return errNotOpen
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	events := make([]chain.Event, len(batch))
	for i, q := range batch {
		if q.value != "" {
			q.Kept = j.fields.keep(ctx, q)
		}
		data, err := json.Marshal(q.Entry)
		if err != nil { // strings, numbers and times always marshal
			return err
		}
		events[i] = chain.Event{Time: q.Time, Data: data}
	}
	return j.writer.Append(ctx, events)
}

// open opens the journal, and tries again after a second where it cannot.
func (j *journal) open() bool {
	if j.writer != nil {
		return true
	}
	if time.Now().Before(j.retry) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	keys := chain.NewKeys()
	var err error
	if j.dir != "" {
		keys, err = chain.OpenKeys(j.dir)
		j.openFields(ctx)
	}
	if err == nil {
		j.writer, err = chain.NewWriter(ctx, j.store.Journal, keys, j.limits)
	}
	if broken := (*chain.BrokenError)(nil); errors.As(err, &broken) {
		j.metrics.failures.Inc()
		j.log.LogAttrs(ctx, slog.LevelError, "journal", slog.String("error", err.Error()))
	} else if err != nil {
		j.writer = nil
		j.failed("open the journal", err)
		return false
	}
	return true
}

// openFields opens what keeps refused fields, once: the journal goes on without.
func (j *journal) openFields(ctx context.Context) {
	if j.fieldsAsked {
		return
	}
	j.fieldsAsked = true
	var err error
	if j.fields, err = openFields(j.dir, j.store.Records); err != nil {
		j.fields = nil
		j.metrics.failures.Inc()
		j.log.LogAttrs(ctx, slog.LevelError, "refused fields are not kept", slog.String("error", err.Error()))
	}
}

func (j *journal) failed(what string, err error) {
	j.metrics.failures.Inc()
	if now := time.Now(); now.After(j.retry) {
		j.retry = now.Add(time.Second)
		j.log.LogAttrs(context.Background(), slog.LevelError, what, slog.String("error", err.Error()))
	}
}

// tell reports drops once a second at most, to the log at once and to the
// journal as soon as it takes rows again.
func (j *journal) tell() {
	n := j.dropped.Swap(0)
	if n == 0 {
		return
	}
	if n > j.told {
		j.log.LogAttrs(context.Background(), slog.LevelError, "events dropped", slog.Int64("count", n-j.told))
		j.told = n
	}
	e := entryOf(dropped.Noted("%d events did not reach the journal", n))
	e.Folded = int(n)
	if err := j.commit([]queued{{Entry: e}}); err != nil {
		j.dropped.Add(n) // for the next time
		j.failed("write events", err)
		return
	}
	j.told = 0
}

// beat signs a head and prunes. The head goes to the log as well: there it
// leaves the machine, and proves later what stood in the journal.
func (j *journal) beat() {
	if !j.open() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	before := j.writer.Head().Seq
	if err := j.writer.Beat(ctx, time.Now()); err != nil {
		j.failed("sign the journal", err)
		return
	}
	if leap := j.writer.Leap(); leap > 0 && !j.wary {
		j.log.LogAttrs(ctx, slog.LevelWarn, "the clock seems to have leapt forward: no event is pruned by age for a day", slog.Duration("leap", leap))
	}
	j.wary = j.writer.Leap() > 0
	if h := j.writer.Head(); h.Seq != before && j.dir != "" {
		sum, _ := h.Sum.MarshalText()
		j.log.LogAttrs(ctx, slog.LevelInfo, "journal head", slog.Uint64("row", h.Seq), slog.String("sum", string(sum)),
			slog.String("key", h.Key), slog.Time("signed", h.Time), slog.Any("signature", base64Text(h.Sig)))
	}
}

var dropped = &guard.Rule{
	ID: "monitor.dropped", Severity: guard.High, Status: 200,
	Title: "events were dropped",
	Fix:   "look for a full or slow disk, or raise monitor.queue",
	CWE:   778, ASVS: []string{"16.2.1"},
}
