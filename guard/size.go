package guard

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, in configuration "16KiB", "10MiB", "512B".
type Size int64

// The units of a Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// UnmarshalText reads a number with its unit: B, KiB, MiB or GiB.
func (s *Size) UnmarshalText(text []byte) error {
	t := string(text)
	for _, u := range []struct {
		name string
		size Size
	}{{"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}, {"B", 1}} {
		digits, ok := strings.CutSuffix(t, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
		if errors.Is(err, strconv.ErrRange) || err == nil && n > math.MaxInt64/uint64(u.size) {
			return fmt.Errorf("%q is out of range: no size is that large", t)
		}
		if err != nil {
			return fmt.Errorf("%q is not a size: want a whole number and B, KiB, MiB or GiB", t)
		}
		*s = Size(n) * u.size
		return nil
	}
	return fmt.Errorf("%q is not a size: want a unit, B, KiB, MiB or GiB", t)
}

// MarshalText writes s with the largest unit that divides it.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String writes s with the largest unit that divides it.
func (s Size) String() string {
	switch {
	case s != 0 && s%GiB == 0:
		return fmt.Sprintf("%dGiB", s/GiB)
	case s != 0 && s%MiB == 0:
		return fmt.Sprintf("%dMiB", s/MiB)
	case s != 0 && s%KiB == 0:
		return fmt.Sprintf("%dKiB", s/KiB)
	}
	return fmt.Sprintf("%dB", int64(s))
}

// Pattern is the form of a Size as a regular expression, for editors that
// check a config against its schema.
func (Size) Pattern() string { return `^[0-9]+ *(B|KiB|MiB|GiB)$` }
