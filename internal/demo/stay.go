package demo

import (
	"context"
	"time"

	"hauberk.dev/guard/https"
)

// invite says where to click, and what to do about the certificate.
func (h *house) invite(p painter, o Options) {
	p.line("")
	p.line("%s", p.bold("Look around:"))
	p.line("   behind Hauberk   %s", p.green(h.url()))
	p.line("   the bare app     %s", p.red("http://"+h.bareAt))
	p.line("The certificate is made for this machine, so a browser asks once: \"Advanced\", then \"Proceed to localhost\".")
	ca := https.CAFile(h.state)
	if o.State != "" {
		p.line("Or trust it: hauberk trust --state %s", o.State)
	} else {
		p.line("To trust it instead, keep it: hauberk demo --state DIR, then hauberk trust --state DIR")
	}
	p.line("   curl --cacert %s %s/", ca, h.url())
	p.line("After the guesses above, the next login is let in within 6 seconds, and ten at once a minute later.")
	p.line("Refusals show here as you click, each with the command that explains it. Ctrl-C ends it.")
	p.line("")
}

// stay shows refusals until ctx is done.
func (h *house) stay(ctx context.Context, p painter) error {
	h.staying.Store(true)
	h.journal.Forget()
	for len(h.events) > 0 {
		<-h.events // those of the table are in the table
	}
	for {
		select {
		case <-ctx.Done():
			p.line("The bank closes. Nothing of it stays%s.", h.remains())
			return nil
		case e := <-h.events:
			if e.Rule != nil {
				p.line("%s  %s  %s", e.Time.Format(time.TimeOnly), p.red(e.Rule.ID), e.Rule.Title)
				p.line("          %s", p.dim("hauberk explain "+e.Request+" --state "+h.state))
			}
		}
	}
}

// remains names the folder that outlives the demonstration, if one does.
func (h *house) remains() string {
	if h.keeps {
		return " but " + h.state
	}
	return ""
}
