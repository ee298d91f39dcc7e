package harden

import (
	"net/http"
	"time"

	"hauberk.dev/guard"
)

var override = &guard.Rule{
	ID: "harden.method-override", Severity: guard.Medium, Status: http.StatusBadRequest,
	Title: "this request claims another method than its own",
	Fix:   "say where the app takes another method from, method_override: query, header or body on its site; where it says body, send a form or JSON in UTF-8 whose _method can be read",
	CWE:   650, ASVS: []string{"4.1.4", "3.5.3"}, Observable: true,
}

// Override refuses a claimed method that would change which route decides.
// The root finds it, since routes are the root's.
func Override(claimed string) *guard.Denial {
	return override.Deny("the claimed method %q would change which route decides", clip(claimed)).In("method")
}

// HeaderTime is how long a client may take for a handshake, and for a head.
func (rm *Room) HeaderTime() time.Duration { return rm.top.HeaderTime }

// Parameters refuses a path that leads to one route as it stands and to
// another without its path parameters: apps read it in both ways.
func Parameters(path, route, cut string) *guard.Denial {
	return target.Deny("path %q matches %q, and %q without its path parameters", path, route, cut).In("path")
}

// Allows says whether harden.methods of a route lets a method pass.
func (rm *Room) Allows(x *guard.Exchange, m string) bool { return rm.settings(x).allows(m) }

// Idle is how long a client may take nothing and send nothing.
func (rm *Room) Idle() time.Duration { return rm.top.Idle }
