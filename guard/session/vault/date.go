package vault

import (
	"strings"
	"time"
)

var months = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

// date reads an Expires value (RFC 6265, 5.1.1): any order of time, day, month
// and year that servers have written in thirty years.
func date(s string) (time.Time, bool) {
	var d stamp
	for token := range strings.FieldsFuncSeq(s, delimiter) {
		d.take(token)
	}
	return d.time()
}

// delimiter says what stands between the parts of a date.
func delimiter(c rune) bool {
	return c == '\t' || c >= 0x20 && c <= 0x2f || c >= 0x3b && c <= 0x40 || c >= 0x5b && c <= 0x60 || c >= 0x7b && c <= 0x7e
}

// stamp is what has been found of a date so far.
type stamp struct {
	clock, day, month, year  bool
	h, m, s, date, mon, yyyy int
}

// take gives a token its meaning: the first that is still missing.
func (d *stamp) take(token string) {
	if !d.clock {
		if h, m, s, ok := clock(token); ok {
			d.clock, d.h, d.m, d.s = true, h, m, s
			return
		}
	}
	if !d.day {
		if n, ok := number(token, 1, 2); ok {
			d.day, d.date = true, n
			return
		}
	}
	if !d.month && len(token) >= 3 {
		for i, name := range months {
			if strings.EqualFold(token[:3], name) {
				d.month, d.mon = true, i+1
				return
			}
		}
	}
	if !d.year {
		if n, ok := number(token, 2, 4); ok {
			d.year, d.yyyy = true, n
		}
	}
}

func (d *stamp) time() (time.Time, bool) {
	switch y := d.yyyy; {
	case y >= 70 && y <= 99:
		d.yyyy += 1900
	case y <= 69:
		d.yyyy += 2000
	}
	if !d.clock || !d.day || !d.month || !d.year || d.date < 1 || d.date > 31 || d.yyyy < 1601 || d.h > 23 || d.m > 59 || d.s > 59 {
		return time.Time{}, false
	}
	t := time.Date(d.yyyy, time.Month(d.mon), d.date, d.h, d.m, d.s, 0, time.UTC)
	if t.Day() != d.date {
		return time.Time{}, false // the 31st of February
	}
	if t.Before(past) {
		t = past
	}
	return t, true
}

// clock reads "h:m:s", of one or two digits each; what follows after a
// character that is no digit does not count.
func clock(token string) (h, m, s int, ok bool) {
	first, rest, found := strings.Cut(token, ":")
	second, third, more := strings.Cut(rest, ":")
	if !found || !more {
		return 0, 0, 0, false
	}
	h, a := whole(first)
	m, b := whole(second)
	s, c := number(third, 1, 2)
	return h, m, s, a && b && c
}

// whole reads one or two digits and nothing else.
func whole(s string) (int, bool) {
	n, ok := number(s, 1, 2)
	return n, ok && digits(s) == len(s)
}

// number reads least to most digits at the beginning, which no further digit
// follows.
func number(s string, least, most int) (int, bool) {
	k := digits(s)
	if k < least || k > most {
		return 0, false
	}
	n := 0
	for i := range k {
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// digits counts those at the beginning.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
