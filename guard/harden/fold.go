package harden

import (
	"log/slog"
	"sync"
	"time"

	"hauberk.dev/guard"
)

// folds lets one event a minute pass for each thing, and counts the others: a
// flood of requests must not become a flood of events.
type folds struct {
	mu    sync.Mutex
	since time.Time
	count map[fold]int
}

type fold struct {
	rule *guard.Rule
	what string
}

// maxFolds bounds what a client can make us remember for a minute; past it
// only the rule counts.
const maxFolds = 256

// pass says whether this one is to be told, and how many were not since.
func (f *folds) pass(rule *guard.Rule, what string) (earlier int, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	key := fold{rule, what}
	if f.count == nil || now.Sub(f.since) >= time.Minute {
		if n := f.count[key]; n > 1 {
			earlier = n - 1
		}
		f.since, f.count = now, map[fold]int{key: 1}
		return earlier, true
	}
	if _, ok := f.count[key]; !ok && len(f.count) >= maxFolds {
		key.what = ""
	}
	f.count[key]++
	return 0, f.count[key] == 1
}

// note tells x's journal that something was dropped, folded.
func (rm *Room) note(x *guard.Exchange, rule *guard.Rule, field, format string, args ...any) {
	earlier, tell := rm.folds.pass(rule, field)
	if !tell {
		return
	}
	e := rule.Noted(format, args...)
	e.Field = field
	if earlier > 0 {
		e.Attrs = append(e.Attrs, slog.Int("earlier", earlier))
	}
	x.Emit(e)
}
