package main

import (
	"net/netip"
	"testing"
	"time"
)

// FuzzAFilterIsReadOrRefused gives anything to the filters of log. What is
// taken must select something that makes sense: a time that can be written, a
// prefix that holds its own address.
func FuzzAFilterIsReadOrRefused(f *testing.F) {
	for _, s := range [][2]string{
		{"2026-11-23", "192.0.2.7"}, {"2026-11-23T10:00:00Z", "192.0.2.0/24"}, {"90m", "2001:db8::/32"}, {"7d ago", "::ffff:192.0.2.7"},
		{"106752d", "::ffff:192.0.2.0/120"}, {"9223372036854775807d", "::ffff:0:0/96"}, {"-1d", "fe80::1%eth0"}, {"1e9h", "192.0.2.7/33"}, {"+7d", "::/0"}, {"-5m", "::ffff:0:0/95"},
	} {
		f.Add(s[0], s[1])
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, since, client string) {
		if at, ok := moment(since, now); ok && (at.Year() < 0 || at.Year() > 9999) {
			t.Errorf("%q: got the year %d", since, at.Year())
		}
		q := logFlags{client: client}
		if q.complete(now) != nil || client == "" {
			return
		}
		p := q.query.Client
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() && p.Bits() >= 96 {
			t.Errorf("%q: got prefix %v", client, p)
		}
		if a, err := netip.ParseAddr(client); err == nil && !p.Contains(a.Unmap().WithZone("")) {
			t.Errorf("%q: %v does not hold it", client, p)
		}
	})
}

func TestATimeIsReadInEveryForm(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-20T10:00:00Z":      time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC),
		"2026-11-20T10:00:00+02:00": time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC),
		"2026-11-20T10:00:00":       time.Date(2026, 11, 20, 10, 0, 0, 0, time.Local),
		"2026-11-20T10:00":          time.Date(2026, 11, 20, 10, 0, 0, 0, time.Local),
		"2026-11-20":                time.Date(2026, 11, 20, 0, 0, 0, 0, time.Local),
		"90m":                       now.Add(-90 * time.Minute),
		" 2h30m ago ":               now.Add(-150 * time.Minute),
		"7d":                        now.AddDate(0, 0, -7),
		"0d ago":                    now,
		"100001d":                   {},
		"-7d":                       {},
		"+7d":                       {},
		"07d":                       {},
		"1.5d":                      {},
		"-90m":                      {},
		"7":                         {},
		"ago":                       {},
		"d":                         {},
		"yesterday":                 {},
		"2026-13-01":                {},
	} {
		at, ok := moment(text, now)
		if ok == want.IsZero() || ok && !at.Equal(want) {
			t.Errorf("%q: got %v, %v, want %v", text, at, ok, want)
		}
	}
}
