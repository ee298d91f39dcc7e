package guard_test

import (
	"strings"
	"testing"

	"hauberk.dev/guard"
)

func TestASizeIsReadWholeOrNotAtAll(t *testing.T) {
	for _, c := range []struct {
		text string
		want guard.Size
		err  string
	}{
		{"512B", 512, ""},
		{"16KiB", 16 * guard.KiB, ""},
		{"10 MiB", 10 * guard.MiB, ""},
		{"8589934591GiB", 8589934591 * guard.GiB, ""},
		{"9223372036854775807B", 1<<63 - 1, ""},
		{"8589934592GiB", 0, "out of range"},
		{"17179869184GiB", 0, "out of range"}, // 2^64
		{"17179869200GiB", 0, "out of range"}, // 2^64 + 16 GiB
		{"9223372036854775808B", 0, "out of range"},
		{"99999999999999999999B", 0, "out of range"},
		{"-1B", 0, "is not a size"},
		{"1.5KiB", 0, "is not a size"},
		{"KiB", 0, "is not a size"},
		{"16", 0, "want a unit"},
		{"16kb", 0, "want a unit"},
	} {
		var got guard.Size
		err := got.UnmarshalText([]byte(c.text))
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || got != c.want {
			t.Errorf("%s: got %d, %v, want %d, %q", c.text, got, err, c.want, c.err)
		}
	}
}
