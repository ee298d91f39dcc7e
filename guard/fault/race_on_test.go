//go:build race

package fault_test

// raceDetector: its instruments make any measure of throughput one of them.
const raceDetector = true
