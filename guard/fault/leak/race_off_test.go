//go:build !race

package leak_test

const raceDetector = false
