package ratelimit

import (
	"io"
	"net/http"
	"time"

	"hauberk.dev/guard"
)

// pause is how long an app may take over a part of a body before it counts as
// being at work on what it has.
const pause = 100 * time.Millisecond

// upload is the body of a request. While the app waits for a part of it, it is
// the client who is waited for, and a slow one takes nobody's place. With the
// last byte the request waits for the app: if there is no place by then the
// body ends in a refusal instead, without what the app would need to begin.
//
// An app that does not read counts from the head on, and one that leaves off
// in the middle from a pause on: else a body that nobody needs would lead past
// the cap.
type upload struct {
	io.ReadCloser
	left int64 // -1: only its end tells
	pass *pass
	idle *time.Timer
	done bool
	err  error

	// What an exception is found by. The body may be read in another goroutine
	// than the one that the Exchange belongs to.
	req   *http.Request
	asked guard.Exchange
}

func newUpload(req *http.Request, p *pass) *upload {
	u := &upload{ReadCloser: req.Body, left: req.ContentLength, pass: p, req: req, asked: *p.x}
	u.idle = time.AfterFunc(time.Hour, u.working)
	u.idle.Stop()
	return u
}

// working runs when the app has not read on for a while.
func (u *upload) working() {
	l := u.pass.load
	l.mu.Lock()
	defer l.mu.Unlock()
	if !u.pass.reading.Load() { // it may have begun just now; then it vacates after us
		u.pass.count(time.Now().Add(-pause))
	}
}

func (u *upload) Read(b []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.done {
		return u.ReadCloser.Read(b)
	}
	u.pass.reading.Store(true)
	u.idle.Stop()
	u.pass.read()
	n, err := u.ReadCloser.Read(b)
	if u.left > 0 {
		u.left -= int64(n)
	}
	u.pass.reading.Store(false)
	switch {
	case err == nil && u.left != 0:
		u.idle.Reset(pause)
		return n, nil
	case err != nil && err != io.EOF: // the client has gone, the app may go on
		u.done = true
		u.pass.wait(time.Now())
		return n, err
	}
	u.done = true
	if u.pass.whole() {
		return n, err
	}
	if u.asked.Excused(overload, u.req) {
		u.pass.wait(time.Now())
		return n, err
	}
	u.err = u.pass.busy()
	u.pass.turnDown(u.err)
	return 0, u.err
}
