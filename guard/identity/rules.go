package identity

import (
	"net/http"

	"hauberk.dev/guard"
)

var signIn = &guard.Rule{
	ID: "identity.sign-in", Severity: guard.Medium, Status: http.StatusForbidden,
	Title: "name or password is not right",
	Fix:   "many of these for one name are somebody who guesses: hauberk log shows from where; a user who forgot gets another with hauberk users set-password",
	CWE:   287, ASVS: []string{"6.3.1", "6.3.8"},
}

var signedIn = &guard.Rule{
	ID: "identity.signed-in", Severity: guard.Info, Status: http.StatusOK,
	Title: "signed in",
	Fix:   "end a session that the user does not know with hauberk sessions end",
	CWE:   778, ASVS: []string{"16.3.1"},
}

var badToken = &guard.Rule{
	ID: "identity.token", Severity: guard.Medium, Status: http.StatusUnauthorized,
	Title: "the token of this request is not valid",
	Fix:   "the detail says what is wrong with it; list its issuer, audience and algorithm in identity.tokens",
	CWE:   347, ASVS: []string{"9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.2.2", "9.2.3"},
}

var twoIdentities = &guard.Rule{
	ID: "identity.two-identities", Severity: guard.Medium, Status: http.StatusBadRequest,
	Title: "this request speaks for two at once",
	Fix:   "send the token without the cookie of a signed-in session, or the cookie without the token",
	CWE:   863, ASVS: []string{"6.3.4"},
}

var changed = &guard.Rule{
	ID: "identity.account-changed", Severity: guard.Info, Status: http.StatusOK,
	Title: "an account was changed",
	Fix:   "if nobody of yours did it, end the sessions of the administrators and read hauberk log",
	CWE:   778, ASVS: []string{"16.3.2", "6.3.7"},
}

var busy = &guard.Rule{
	ID: "identity.busy", Severity: guard.Medium, Status: http.StatusServiceUnavailable,
	Title: "too many requests wait for their turn",
	Fix:   "the bodies of signed-in requests fill the 64 MiB that are kept to bind them: slow down who sends them, or send larger ones chunked",
	CWE:   770, ASVS: []string{"2.4.1"},
}

var brokenBody = &guard.Rule{
	ID: "identity.broken-body", Severity: guard.Low, Status: http.StatusBadRequest,
	Title: "the body of this request broke off",
	Fix:   "nothing: the client has gone, or said a length that it did not send",
	CWE:   444, ASVS: []string{"4.2.1"},
}

var required = &guard.Rule{
	ID: "identity.required", Severity: guard.Low, Status: http.StatusForbidden,
	Title: "sign in to see this, or ask for the right to",
	Fix:   "the app's handler asks for a user, a role or a fresh proof: give the role with hauberk users roles",
	CWE:   862, ASVS: []string{"8.2.1", "8.3.1"},
}

var guessing = &guard.Rule{
	ID: "identity.guessing", Severity: guard.Medium, Status: http.StatusTooManyRequests,
	Title: "too many wrong passwords: wait before the next try",
	Fix:   "nothing, if the user mistyped: the wait ends by itself; where one client tries many names, list it in ratelimit.deny",
	CWE:   307, ASVS: []string{"6.3.1"},
}

var crowded = &guard.Rule{
	ID: "identity.crowded", Severity: guard.Medium, Status: http.StatusServiceUnavailable,
	Title: "too many people sign in right now",
	Fix:   "hauberk log shows who floods the sign-in; list it in ratelimit.deny, or give the machine more cores",
	CWE:   770, ASVS: []string{"2.4.1"},
}

var administration = &guard.Rule{
	ID: "identity.administration", Severity: guard.Info, Status: http.StatusBadRequest,
	Title: "nothing was changed",
	Fix:   "the detail says what is wrong with the request",
	CWE:   20, ASVS: []string{"2.2.1"},
}

var keys = &guard.Rule{
	ID: "identity.keys", Severity: guard.High, Status: http.StatusServiceUnavailable,
	Title: "the keys of the assertion cannot be kept",
	Fix:   "make the folder identity in the state directory writable for hauberk: the keys that are there go on signing until then",
	CWE:   320, ASVS: []string{"11.2.2"},
}
