package password

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
)

// Room is memory that holds another's blocks.
func Room(n int) []block {
	room := make([]block, n)
	for i := range room {
		room[i][0] = uint64(i) + 1
	}
	return room
}

// Argon2id computes a hash with any parameters.
func Argon2id(room []block, password, salt string, memory, passes uint32, lanes uint8) []byte {
	return argon2id(room, []byte(password), record{memory: memory, passes: passes, lanes: lanes, salt: []byte(salt)})
}

// Stored returns a record with other parameters than today's.
func Stored(p Pepper, password string, memory, passes uint32, lanes uint8) string {
	r := record{memory: memory, passes: passes, lanes: lanes, pepper: p.ID, salt: make([]byte, saltSize)}
	mac := hmac.New(sha256.New, p.Key[:])
	mac.Write(argon2id(nil, []byte(password), r))
	r.tag = mac.Sum(nil)
	return r.String()
}

// Parse reads a record and returns what it is written again and how many KiB it
// asks to be filled.
func Parse(s string) (string, uint32, bool) {
	r, err := parse(s)
	return r.String(), r.memory * r.passes, err == nil
}

// Queue is the queue of a hasher alone, with one place.
type Queue struct{ *queue }

// NewQueue returns a queue with one place.
func NewQueue() Queue { return Queue{newQueue(1)} }

// Enter, Leave and Learn are those of the queue.
func (q Queue) Enter(ctx context.Context, c Client) error { return q.enter(ctx, c) }
func (q Queue) Leave()                                    { q.leave() }
func (q Queue) Learn(c Client, ok bool)                   { q.learn(c, ok) }

// Waiting returns how many wait.
func (q Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.line)
}

// Read takes a list from memory.
func Read(raw []byte) (*Filter, error) { return read(raw) }

// Sealed returns a list with a checksum that fits.
func Sealed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

// Kept returns how many entries a throttle holds.
func (t *Throttle) Kept() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pairs.byKey) + len(t.devices.byKey) + len(t.clients.byKey) + len(t.accounts.byKey)
}
