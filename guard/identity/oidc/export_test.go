package oidc

import "time"

// Overdue returns the sealed token as it is when its time has come.
func Overdue(p *Provider, sealed []byte) []byte {
	k, err := p.openToken(sealed)
	if err != nil {
		panic(err)
	}
	k.Due = time.Now().Add(-time.Second)
	if sealed, err = p.sealToken(k); err != nil {
		panic(err)
	}
	p.renewals.mu.Lock()
	clear(p.renewals.due)
	p.renewals.mu.Unlock()
	return sealed
}

// Local returns the way back that a flow keeps of to.
func Local(to string) string { return local(to) }
