package https

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"hauberk.dev/guard"
)

var hstsStep = &guard.Rule{
	ID: "https.hsts", Severity: guard.Info,
	Title: "for how long browsers are told to refuse clear text", CWE: 319, ASVS: []string{"3.4.1"},
	Fix: "set https.hsts to stay at one value, or https.hsts_withdraw to take it back",
}

// step is what browsers are told, and for how long a name must have been
// served at it before the next: a mistake shows while it is cheap to undo.
type step struct{ age, stay time.Duration }

var steps = [...]step{{defaultAge, day}, {day, 7 * day}, {30 * day, 30 * day}, {730 * day, 0}}

const (
	rampName  = "hsts.json"
	rampTick  = time.Minute
	rampWrite = time.Hour
)

// ramp raises the age of every name that has none of its own. What counts is
// the time in which the name was served, not the calendar: neither a clock
// that jumps nor a year in a drawer makes a step.
type ramp struct {
	dir    string
	record func(guard.Event)
	now    func() time.Time
	names  []*climb // by the place of the name among the hosts

	mu      sync.Mutex
	looked  time.Time
	written time.Time
}

// climb is where one name stands.
type climb struct {
	name string
	step atomic.Int32
	seen atomic.Bool   // asked over TLS since the step began
	stay time.Duration // at the step so far
}

// foothold is a climb as the file keeps it.
type foothold struct {
	Step   int    `json:"step"`
	Served string `json:"served"`
	Seen   bool   `json:"seen"`
}

func openRamp(all hosts, o Options) *ramp {
	p := &ramp{dir: o.Dir, record: o.Record, now: o.Now, looked: o.Now(), written: o.Now()}
	kept, err := p.read()
	if err != nil {
		p.tell("the ramp begins again at %s: %v", steps[0].age, err)
	}
	for _, h := range all {
		c := &climb{name: h.text}
		if f, ok := kept[h.text]; ok {
			c.step.Store(int32(min(max(f.Step, 0), len(steps)-1)))
			c.seen.Store(f.Seen)
			c.stay, _ = time.ParseDuration(f.Served)
		}
		p.names = append(p.names, c)
	}
	return p
}

func (p *ramp) read() (map[string]foothold, error) {
	if p.dir == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(p.dir, rampName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var kept map[string]foothold
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	return kept, err
}

// succeed takes over where the names stand: the file knows it an hour late.
func (p *ramp) succeed(old *ramp) {
	old.mu.Lock()
	defer old.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.names {
		for _, was := range old.names {
			if was.name == c.name {
				c.step.Store(was.step.Load())
				c.seen.Store(was.seen.Load())
				c.stay = was.stay
			}
		}
	}
}

// value returns the header of the name at place n.
func (p *ramp) value(n int, subdomains bool) string {
	c := p.names[n]
	if !c.seen.Load() {
		c.seen.Store(true)
	}
	return rampHeaders[c.step.Load()][subdomains]
}

// age returns what the name at place n stands at.
func (p *ramp) age(n int) time.Duration { return steps[p.names[n].step.Load()].age }

var rampHeaders = func() (all [len(steps)]map[bool]string) {
	for i, s := range steps {
		v := fmt.Sprintf("max-age=%d", int64(s.age/time.Second))
		all[i] = map[bool]string{false: v, true: v + "; includeSubDomains"}
	}
	return all
}()

// climb adds the time since the last look, as far as it can have been served.
func (p *ramp) climb() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	passed := min(max(now.Sub(p.looked), 0), 2*rampTick)
	p.looked = now
	moved := false
	for _, c := range p.names {
		n := int(c.step.Load())
		if c.stay += passed; n == len(steps)-1 || c.stay < steps[n].stay || !c.seen.Load() {
			continue
		}
		c.step.Store(int32(n + 1))
		c.stay, moved = 0, true
		c.seen.Store(false)
		p.tell("%s: browsers are told %s from now on, step %d of %d", c.name, days(steps[n+1].age), n+2, len(steps))
	}
	if moved || now.Sub(p.written) >= rampWrite {
		p.write(now)
	}
}

// keep writes at the end.
func (p *ramp) keep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(p.now())
}

// write keeps where every name stands.
func (p *ramp) write(now time.Time) {
	p.written = now
	if p.dir == "" {
		return
	}
	kept := map[string]foothold{}
	for _, c := range p.names {
		kept[c.name] = foothold{int(c.step.Load()), c.stay.Round(time.Second).String(), c.seen.Load()}
	}
	text, err := json.MarshalIndent(kept, "", "  ")
	if err == nil {
		err = place(p.dir, rampName, append(text, '\n'), 0o600, true)
	}
	if err != nil {
		p.tell("where the ramp stands cannot be kept: %v", err)
	}
}

func (p *ramp) tell(format string, args ...any) {
	e := hstsStep.Noted(format, args...)
	e.Time = p.now()
	p.record(e)
}

// standing says in words where a name is, and what comes next.
func (p *ramp) standing(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.names[n]
	at := int(c.step.Load())
	text := fmt.Sprintf("%s: %s, step %d of %d", c.name, days(steps[at].age), at+1, len(steps))
	if at+1 == len(steps) {
		return text
	}
	return text + fmt.Sprintf("; %s after %s more of service", days(steps[at+1].age), days(max(steps[at].stay-c.stay, 0)))
}

func days(d time.Duration) string {
	switch n := d.Round(time.Second) / day; {
	case d < day:
		return d.Round(time.Second).String()
	case n == 1:
		return "1 day"
	case n%365 == 0:
		return fmt.Sprintf("%d years", n/365)
	default:
		return fmt.Sprintf("%d days", n)
	}
}

// Standing says where each public name stands on the ramp of https.hsts.
func (r *Room) Standing() []string {
	var all []string
	for n, p := range r.hosts {
		local := p.prefix.IsValid() || p.host.local() || p.host.addr.IsValid()
		if c := r.c; c.HSTS == 0 && !c.HSTSWithdraw && (!local || c.HSTSLocal) {
			all = append(all, r.ramp.standing(n))
		}
	}
	return all
}
