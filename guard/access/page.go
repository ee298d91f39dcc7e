package access

import (
	"html"
	"strings"

	"hauberk.dev/guard"
)

// askFor is the page for a person who was refused and could ask for a role. It
// names the roles and nothing else of the policy.
func askFor(x *guard.Exchange, roles []string) *guard.Page {
	var b strings.Builder
	b.WriteString("<p>You are signed in, and this page is for others. One of these roles would let you in:</p>\n<ul>\n")
	for _, role := range roles {
		b.WriteString("<li><code>" + html.EscapeString(role) + "</code></li>\n")
	}
	b.WriteString("</ul>\n<p>Ask whoever runs the site for it, with the incident number below.</p>\n<p><a href=\"/\">Go to the start page</a></p>\n")
	return guard.NewPage(denied.Status, "You may not see this page", b.String(), x.ID)
}
