package hauberk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"hauberk.dev/guard/identity"
	"hauberk.dev/guard/session"
)

// sessionsOf hands room identity what it needs of room session.
func sessionsOf(s *session.Room) identity.Sessions {
	return identity.Sessions{
		Begin: s.Begin, Regrant: s.Regrant, SignOut: s.SignOut, End: s.End, EndAll: s.EndAll, EndOIDC: s.EndOIDC,
		List: func(ctx context.Context, user string) ([]identity.Visit, error) {
			list, err := s.List(ctx, user)
			visits := make([]identity.Visit, len(list))
			for i, one := range list {
				visits[i] = identity.Visit{ID: one.ID, User: one.User, Created: one.Began, Seen: one.Seen, Client: one.Client, Device: one.Device}
			}
			return visits, err
		},
	}
}

// guardSites hands room access the rules of every site.
func (c *Chain) guardSites() error {
	var errs []error
	for i := range c.config.Sites {
		in, at := &c.config.Sites[i], fmt.Sprintf("sites[%d]", i)
		var patterns []string
		if g := c.sites.all[i].guarded; g != nil {
			patterns = g.names
		}
		if err := c.access.Site(c.sites.all[i].base.Site, in.Access, patterns); err != nil {
			errs = append(errs, prefixed(at+".", err)...)
		}
	}
	return errors.Join(errs...)
}

// upstream is where route n goes, as it is written.
func (s *sites) upstream(n int) string {
	if n < len(s.upstreams) {
		return s.upstreams[n]
	}
	return ""
}

// address is where a browser finds the pages: at their own host, or on the first
// host that is a name of its own, since nobody can open a wildcard.
func (s *sites) address(port int) string {
	if len(s.hosts) == 0 {
		return ""
	}
	name := "www" + strings.TrimPrefix(s.hosts[0], "*")
	for _, h := range s.hosts {
		if !strings.HasPrefix(h, "*") {
			name = h
			break
		}
	}
	if s.login != nil && s.login.base != nil {
		name = s.login.base.Site
	}
	at := "https://" + name
	if port != 0 && port != 443 {
		at += ":" + strconv.Itoa(port)
	}
	return at
}

// First makes the link by which the first administrator makes an account: it
// works once, within 15 minutes. It stands in a private file of Config.State,
// identity/first-administrator, and belongs on a terminal, never in a log. Where
// an enabled administrator is, the error is identity.ErrAdministrator.
func (c *Chain) First(ctx context.Context) (link string, err error) { return c.identity.First(ctx) }

// Admin administers accounts and sessions, JSON over HTTP. Whoever reaches it
// is an administrator: it belongs on a private socket only.
func (c *Chain) Admin() http.Handler { return c.identity.Admin() }

// Administer asks Admin in this process, where no server runs.
func (c *Chain) Administer(r *http.Request) (status int, text []byte) {
	done := &outcome{header: http.Header{}}
	c.Admin().ServeHTTP(done, r)
	return done.status, done.body.Bytes()
}

// outcome is an answer that nobody is sent.
type outcome struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (o *outcome) Header() http.Header { return o.header }

func (o *outcome) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
}

func (o *outcome) Write(p []byte) (int, error) {
	o.WriteHeader(http.StatusOK)
	return o.body.Write(p)
}
