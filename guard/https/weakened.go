package https

import "hauberk.dev/guard"

// Weakened says of every key in which c allows more than the default does, for
// the start and for audits.
func (c Config) Weakened() []string {
	weak := guard.Below(nil, "hsts", c.HSTS, defaultAge)
	if c.HSTSWithdraw {
		weak = append(weak, "hsts_withdraw: browsers forget that they were told to refuse clear text")
	}
	return weak
}
