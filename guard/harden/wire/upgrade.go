package wire

// switching is how far an upgrade has come.
type switching int

const (
	noUpgrade switching = iota
	asked               // The head was handed on; no answer yet.
	raw                 // 101 was sent by one who hijacked: no longer HTTP.
)

const accepted = "HTTP/1.1 101 "

// upgrade follows the answer to an upgrade request. It is guarded by Conn.mu.
type upgrade struct {
	switching switching
	hijacked  bool
	answer    [len(accepted)]byte
	seen      int // How many bytes of the answer are in answer.
}

// Hijacked tells that a handler took the connection from net/http. Only such
// a handler can open it: the text of a 101 alone could be a body's.
func (c *Conn) Hijacked() {
	c.mu.Lock()
	c.hijacked = true
	c.mu.Unlock()
}

// Write sends b to the client. While an upgrade waits for its answer, the
// answer's first bytes say how to go on reading.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if c.switching == asked {
		c.answered(b)
	}
	c.mu.Unlock()
	return c.c.Write(b)
}

// answered looks at the start of an answer. The head of the upgrade was handed
// on only after every earlier answer had been written, and net/http begins
// each answer with a write of its own.
func (u *upgrade) answered(b []byte) {
	u.seen += copy(u.answer[u.seen:], b)
	got := string(u.answer[:u.seen])
	const informational = "HTTP/1.1 1"
	switch {
	case got == accepted:
		if u.hijacked {
			u.switching = raw
		}
		u.seen = 0
	case u.seen >= len(informational) && got[:len(informational)] != informational:
		u.switching = noUpgrade
	case u.seen == len(accepted):
		u.seen = 0 // 100 or 103: the answer is still to come.
	}
}

func (c *Conn) upgradeState() switching {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.switching
}
