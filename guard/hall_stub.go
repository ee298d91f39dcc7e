package guard

import (
	"io"
	"net/http"
)

// Check is the way in.
func Check(decide func(*http.Request) error) func(http.Handler) http.Handler { panic("soon") }

// Amend edits the final header.
func Amend(edit func(http.Header, *http.Request, int) error) func(http.Handler) http.Handler { panic("soon") }

// Filter changes the body.
func Filter(open func(http.Header, *http.Request, int, io.Writer) (io.WriteCloser, error)) func(http.Handler) http.Handler { panic("soon") }

// Watch sees a copy.
func Watch(look func(http.Header, *http.Request, int) io.Writer) func(http.Handler) http.Handler { panic("soon") }

// Recover turns a panic into a refusal.
func Recover(explain func(any) error) func(http.Handler) http.Handler { panic("soon") }

// Refuse is the one voice.
func Refuse(w http.ResponseWriter, r *http.Request, err error) bool { panic("soon") }
