//go:build race

package password_test

// raced says that the race detector slows everything.
const raced = true
