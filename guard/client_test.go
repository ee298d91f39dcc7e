package guard_test

import (
	"net/netip"
	"testing"

	"hauberk.dev/guard"
)

func TestAClientIsAnIPv4AddressOrASixtyFour(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1":               "192.0.2.1",
		"::ffff:192.0.2.1":        "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::",
		"2001:db8:1:2::":          "2001:db8:1:2::",
		"2001:db8:1:3::1":         "2001:db8:1:3::",
		"::1":                     "::",
		"fe80::1%eth0":            "fe80::",
		"fe80::ffff:ffff%enp0s31": "fe80::",
	} {
		if got := guard.ClientOf(netip.MustParseAddr(from)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: got %s, want %s", from, got, want)
		}
	}
	if got := guard.ClientOf(netip.Addr{}); got.IsValid() {
		t.Errorf("got %s for no address", got)
	}
}
