package password

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"hauberk.dev/guard"
)

// How failures are answered.
const (
	// freeTries may fail before the first delay: it comes with the 4th.
	freeTries  = 3
	firstDelay = 30 * time.Second
	lastDelay  = time.Hour
	// hundred consecutive failures close an account to the client that failed,
	// and to nobody else.
	hundred = 100
	closed  = 24 * time.Hour
	// A client may fail sprayBurst times over all accounts, then once in
	// sprayPace.
	sprayBurst = 60
	sprayPace  = 10 * time.Second
	// tellEvery is how often one account's failures are told.
	tellEvery = time.Hour
)

// What is kept: 65,536 entries in all, of which the least recently used goes.
// One entry takes some 150 bytes, so all take 10 MB at most.
const (
	keptPairs    = 32768
	keptClients  = 16384
	keptAccounts = 8192
	keptDevices  = 8192
)

// Throttle says how often a password may be guessed.
//
// Failures count for the pair of an account and a client: a delay from the 4th
// on, twice as long each time, and at 100 in a row that client is refused for
// that account for a day. A client's failures over all accounts are paced. The
// failures of an account over all clients refuse nobody, they are told: NIST SP
// 800-63B-4, 3.2.2, would have the account disabled at 100, which lets everybody
// who knows a name lock its owner out. A device that has signed in to the
// account before counts for itself alone, so a neighbour behind the same address
// locks nobody out either. A name that nobody has is counted like any.
//
// The counters are in memory and begin anew with the process.
type Throttle struct {
	alarm func(name string, failures int)

	mu       sync.Mutex
	pairs    *recent[pairKey, streak]
	devices  *recent[pairKey, streak]
	clients  *recent[netip.Addr, time.Time] // when the client's failures are paid off
	accounts *recent[nameKey, account]
}

// nameKey stands for a name, so that long names take no more memory.
type nameKey [16]byte

type pairKey struct {
	name   nameKey
	client netip.Addr
	device string
}

// streak is a number of failures in a row.
type streak struct {
	n     int
	until time.Time // nothing is tried before
}

type account struct {
	n    int
	told time.Time
}

// NewThrottle returns a Throttle. It calls alarm, at most once an hour for one
// account, when the account has failed 100 times in a row over all clients.
func NewThrottle(alarm func(name string, failures int)) *Throttle {
	return &Throttle{alarm: alarm,
		pairs: newRecent[pairKey, streak](keptPairs), devices: newRecent[pairKey, streak](keptDevices),
		clients: newRecent[netip.Addr, time.Time](keptClients), accounts: newRecent[nameKey, account](keptAccounts)}
}

// Attempt is one guess that was allowed. It counts as failed from its beginning,
// so that many at once are no way around the count, until Succeeded or Dropped
// says otherwise.
type Attempt struct {
	t      *Throttle
	name   string
	key    pairKey
	before streak
	after  streak
	paid   bool // by the client's pace
}

// Allow says how long a client has to wait before it may try a name, and
// returns the attempt when that is zero. The name is folded, whether somebody
// has it or not; device is what Devices.Known returned, or "".
func (t *Throttle) Allow(name string, client netip.Addr, device string) (*Attempt, time.Duration) {
	client = guard.ClientOf(client)
	a := &Attempt{t: t, name: name, key: keyOf(name, client, device)}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	streaks := t.streaks(a.key)
	if s := streaks.look(a.key); s != nil && s.until.After(now) {
		return nil, s.until.Sub(now)
	}
	if device == "" && client.IsValid() { // behind a unix socket all have one address
		if wait := t.pace(client, now); wait > 0 {
			return nil, wait
		}
		a.paid = true
	}
	s := streaks.use(a.key)
	a.before = *s
	s.n++
	s.until = now.Add(delay(s.n))
	a.after = *s
	return a, 0
}

func keyOf(name string, client netip.Addr, device string) pairKey {
	sum := sha256.Sum256([]byte(name))
	k := pairKey{name: nameKey(sum[:16]), client: client}
	if device != "" {
		k.client, k.device = netip.Addr{}, device
	}
	return k
}

func (t *Throttle) streaks(k pairKey) *recent[pairKey, streak] {
	if k.device != "" {
		return t.devices
	}
	return t.pairs
}

// delay is how long nothing may be tried after the nth failure in a row.
func delay(n int) time.Duration {
	switch {
	case n <= freeTries:
		return 0
	case n >= hundred:
		return closed
	}
	return min(firstDelay<<min(n-freeTries-1, 10), lastDelay)
}

// pace takes one failure from what a client may have, or says how long it has to
// wait for it: the generic cell rate algorithm.
func (t *Throttle) pace(client netip.Addr, now time.Time) time.Duration {
	paid := t.clients.use(client)
	if paid.Before(now) {
		*paid = now
	}
	if ahead := paid.Sub(now) - (sprayBurst-1)*sprayPace; ahead > 0 {
		return ahead
	}
	*paid = paid.Add(sprayPace)
	return 0
}

// Failed says that the password was wrong.
func (a *Attempt) Failed() {
	t := a.t
	t.mu.Lock()
	acc := t.accounts.use(a.key.name)
	acc.n++
	n, now := acc.n, time.Now()
	tell := n >= hundred && (acc.told.IsZero() || now.Sub(acc.told) >= tellEvery)
	if tell {
		acc.told = now
	}
	t.mu.Unlock()
	if tell && t.alarm != nil {
		t.alarm(a.name, n)
	}
}

// Succeeded says that the password was right: what failed before is forgiven to
// who tried. The account's count begins anew, as it counts failures in a row.
func (a *Attempt) Succeeded() {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	a.t.streaks(a.key).forget(a.key)
	a.t.accounts.forget(a.key.name)
	a.refund()
}

// Dropped says that nothing was tried: no place to hash, or the client has gone.
func (a *Attempt) Dropped() {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	if s := a.t.streaks(a.key).look(a.key); s != nil && *s == a.after {
		*s = a.before
	} else if s != nil && s.n > 0 {
		s.n-- // others came between
	}
	a.refund()
}

func (a *Attempt) refund() {
	if !a.paid {
		return
	}
	a.paid = false
	if paid := a.t.clients.look(a.key.client); paid != nil {
		*paid = paid.Add(-sprayPace)
	}
}
