package guard

import "errors"

// drop forgets the steps from depth inward.
func (w *writer) drop(depth int) {
	if depth < len(w.steps) {
		w.steps = w.steps[:depth]
	}
}

// reset forgets an answer of which nothing has left.
func (w *writer) reset() {
	clear(w.h)
	w.code, w.head, w.opened, w.in, w.body, w.dead, w.done = 0, nil, false, nil, nil, false, false
}

// fail answers for a step that failed: that step and all inside it are
// dropped, and the error's page leaves through the others. After the header
// has left there is only one honest thing to do, which is to cut.
func (w *writer) fail(at int, err error) {
	if w.left {
		w.dead = true
		refuse(w, w.r, err, true)
		return
	}
	r := w.r
	if at < len(w.steps) {
		r = w.steps[at].r
	}
	w.drop(at)
	refuse(w, r, err, true)
	w.complete()
	w.dead, w.replaced = true, true
}

// failed turns an error of a filter into the end of the answer.
func (w *writer) failed(err error) error {
	var f *failure
	switch {
	case w.dead:
	case w.gone != nil:
		return w.gone
	case errors.As(err, &f):
		w.fail(f.at, f.err)
	default:
		return err
	}
	return errReplaced
}

// failure says which step failed.
type failure struct {
	at  int
	err error
}

func (f *failure) Error() string { return f.err.Error() }
