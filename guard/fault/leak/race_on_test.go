//go:build race

package leak_test

// raceDetector: its instruments make any measure of throughput one of them.
const raceDetector = true
