package guard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
)

// Check is the way in. It fails closed by construction: nil passes, a *Denial
// refuses with its status, any other error refuses with 503.
func Check(decide func(*http.Request) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := decide(r); err != nil && Refuse(w, r, err) {
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Panic is what Recover hands to its explanation.
type Panic struct {
	Value any
	Stack []byte
}

// Recover turns a panic of all that is inside into the error that explain
// makes of it, and that error into a refusal. What the inner rooms had begun
// to answer is dropped; if the header has left, the connection is cut.
// http.ErrAbortHandler passes.
func Recover(explain func(Panic) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hw, ok := w.(*writer)
			if !ok {
				hw = newWriter(w, r)
				defer hw.end()
			}
			depth := len(hw.steps)
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler {
					panic(v)
				}
				err := explain(Panic{Value: v, Stack: debug.Stack()})
				hw.drop(depth)
				refuse(hw, r, err, true)
			}()
			next.ServeHTTP(hw, r)
			// A step that waits for the end of the answer must see it before
			// the recovery leaves the stack.
			hw.complete()
		})
	}
}

// Refuse is the one voice: it journals err and answers with a page or with
// problem details (RFC 9457), of which a stranger learns the rule's Title and
// the incident id. It returns false, and has written nothing, when an
// exception covers the refusal. If the header has left, it cuts the
// connection.
func Refuse(w http.ResponseWriter, r *http.Request, err error) bool {
	return refuse(w, r, err, false)
}

// wired is a connection that can refuse a body while it is being read.
type wired interface{ Denial() *Denial }

func refuse(w http.ResponseWriter, r *http.Request, err error, force bool) bool {
	x := From(r.Context())
	// A refused body also cancels the request's context, so the connection
	// knows better than the error why the app's answer never came.
	if c, ok := Conn(r.Context()).(wired); ok {
		if d := c.Denial(); d != nil {
			err = d
			if r.ProtoMajor == 1 {
				// What is left of the body on the connection is no request.
				d.With("Connection", "close")
			}
		}
	}
	d := denial(x, r, err)
	if d == nil {
		panic(http.ErrAbortHandler) // the client has gone: nobody to tell
	}
	if !force && x.excused(d, r) {
		return false
	}
	verdict := Denied
	if d.Code() >= 500 {
		verdict = Failed
	}
	x.Emit(Event{Rule: d.Rule, Verdict: verdict, Detail: d.Err.Error(), Field: d.Field, Attrs: d.Attrs})
	x.Refused = d
	hw, ok := w.(*writer)
	if ok && hw.left {
		panic(http.ErrAbortHandler)
	}
	if ok {
		hw.reset()
	}
	writePage(w, r, x, d)
	return true
}

// denial makes a Denial of any error; nil means that the client has gone.
func denial(x *Exchange, r *http.Request, err error) *Denial {
	var d *Denial
	if errors.As(err, &d) {
		return d
	}
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return nil
	}
	if err == nil {
		err = errors.New("refused without a reason")
	}
	return &Denial{Rule: broken, Err: fmt.Errorf("%w", err)}
}

// broken is the hall's own voice for an error that no room has named.
var broken = &Rule{
	ID: "fault.internal", Severity: High, Status: http.StatusServiceUnavailable,
	Title: "the service cannot answer right now",
	Fix:   "read the event's detail: a room could not decide, and so refused",
	CWE:   755, ASVS: []string{"16.5.2", "16.5.3"},
}

// Broken returns the rule under which Refuse answers an error that is not a
// Denial. It belongs to room fault, which lists it.
func Broken() *Rule { return broken }
