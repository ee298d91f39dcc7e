package identity_test

import "testing"

// A code that nobody has brought yet must not outlive the session that it was
// made from: who stole that one would keep one in hand.
func TestACodeEndsWithTheSessionThatItCameFrom(t *testing.T) {
	for what, end := range map[string]func(g *desk, v *visitor){
		"sign-out": func(_ *desk, v *visitor) {
			v.post(t, login+"/.hauberk/sign-out").wants(t, "sign-out", 200, "", "You are signed out")
		},
		"others": func(g *desk, _ *visitor) {
			owner := g.visitor()
			owner.post(t, login+"/.hauberk/sign-in", "name", "ada", "password", good)
			owner.post(t, login+"/.hauberk/account/sessions", "others", "all").wants(t, "all others", 303, "/.hauberk/account?done=others", "")
		},
	} {
		t.Run(what, func(t *testing.T) {
			g := newHosted(t)
			v := g.visitor()
			code := v.enters(t, v.asks(t, own+"/.hauberk/sign-in"))
			end(g, v)
			v.get(t, code).wants(t, "the code", 403, "", "")
			v.get(t, own+"/x").wants(t, "the app", 200, "", "nobody sees")
		})
	}
}
