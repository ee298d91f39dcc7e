package https

import (
	"crypto/rand"
	"crypto/tls"
	"strings"
	"sync"
	"time"
)

// A key seals tickets for eight hours and opens them until it is a day old:
// whoever steals one reads at most a day of resumed TLS 1.2 sessions, and none
// of TLS 1.3, where a resumption brings a secret of its own.
const (
	ticketSeals = 8 * time.Hour
	ticketOpens = 24 * time.Hour
)

// tickets are the keys of session tickets. They live in memory only and die
// with the process.
type tickets struct {
	config tls.Config
	now    func() time.Time

	mu   sync.Mutex
	keys []ticketKey // the newest first
}

type ticketKey struct {
	key  [32]byte
	born time.Time
}

func newTickets(now func() time.Time) *tickets {
	return &tickets{config: tls.Config{Time: now}, now: now}
}

// current returns the settings with keys that are young enough. Handshakes ask
// for it, so that keys change in a program that runs no background work too.
func (t *tickets) current() *tls.Config {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := len(t.keys) > 0 && now.Sub(t.keys[0].born) < ticketSeals
	if fresh && now.Sub(t.keys[len(t.keys)-1].born) < ticketOpens {
		return &t.config
	}
	var keep []ticketKey
	if !fresh {
		keep = append(keep, ticketKey{born: now})
		rand.Read(keep[0].key[:])
	}
	for _, k := range t.keys {
		if now.Sub(k.born) < ticketOpens {
			keep = append(keep, k)
		}
	}
	t.keys = keep
	raw := make([][32]byte, len(keep))
	for i := range keep {
		raw[i] = keep[i].key
	}
	t.config.SetSessionTicketKeys(raw)
	return &t.config
}

// wrap seals a session ticket together with its name.
func (r *Room) wrap(cs tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
	s.Extra = append(s.Extra, []byte(sniMark+cs.ServerName))
	return r.tickets.current().EncryptTicket(cs, s)
}

// unwrap opens a ticket only under the name that it was made for: a resumed
// session shows no certificate, so with a ticket of one name a client could
// otherwise come in under any (RFC 6066, section 3).
func (r *Room) unwrap(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	s, err := r.tickets.current().DecryptTicket(ticket, cs)
	if s == nil || err != nil {
		return nil, err
	}
	for _, e := range s.Extra {
		if name, ok := strings.CutPrefix(string(e), sniMark); ok && name == cs.ServerName {
			return s, nil
		}
	}
	return nil, nil
}
