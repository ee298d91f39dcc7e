package hauberk_test

import (
	"testing"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/guard/access"
)

// TestAPathThatNamesTwoOwnersIsRefused asks for paths of which an app may read
// another owner than we do: with an encoded slash, or a path parameter.
func TestAPathThatNamesTwoOwnersIsRefused(t *testing.T) {
	chain, err := hauberk.TryPolicy(hauberk.Config{Sites: []hauberk.Site{{Hosts: []string{"app.test"}, Access: access.Config{Rules: []access.Rule{
		{On: "/t/{a}/{b}/", Allow: []string{"owner:b"}},
		{On: "/plain/{a}/", Allow: []string{"signed-in"}},
	}}}}})
	if err != nil {
		t.Fatal(err)
	}
	me := &guard.Subject{ID: "u_me", Name: "me"}
	for target, want := range map[string]bool{
		"/t/x/me/":             true,
		"/t/x/other/":          false,
		"/t/x%2Fvictim/me/":    false, // an app that decodes first sees victim at b
		"/t/x/me;victim/":      false,
		"/t/x/me;/":            false,
		"/plain/group%2Fname/": true, // no value decides there
		"/plain/a;v=1/":        true,
	} {
		v, err := chain.Decide("GET", target, me)
		if err != nil || v.Allowed != want {
			t.Errorf("%s: got %+v, %v, want allowed: %t", target, v, err, want)
		}
	}
}
