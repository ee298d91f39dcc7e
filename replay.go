package hauberk

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"slices"

	"hauberk.dev/internal/attack"
)

// Attacks returns the attack files of every room, in the order of the chain.
func (c *Chain) Attacks() ([]attack.Case, error) {
	var all []attack.Case
	var errs []error
	for _, p := range c.Principles() {
		cases, err := attack.Load(p.Files, "guard/"+p.Name)
		all = append(all, cases...)
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

// Rehearse replays one case on loopback, in front of an application that
// answers what the case says: around a handler in this process, and through
// the gateway. Both doors must meet the case and answer alike.
func Rehearse(ctx context.Context, c attack.Case) error {
	var results []attack.Result
	for _, gateway := range []bool{false, true} {
		name, other := "library", c.Gateway
		if gateway {
			name, other = "gateway", c.Library
		}
		if other {
			continue
		}
		res, err := rehearseAt(ctx, c, gateway)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results = append(results, res)
	}
	if len(results) < 2 {
		return nil
	}
	return alike(results[0].Responses, results[1].Responses)
}

func rehearseAt(ctx context.Context, c attack.Case, gateway bool) (attack.Result, error) {
	st, err := openStage(c, gateway)
	if err != nil {
		return attack.Result{}, fmt.Errorf("%s:%d: %w", c.File, c.Line, err)
	}
	defer st.close()
	return attack.Replay(ctx, c, st.door)
}

// stage is a chain with listeners on loopback and the app of a replay behind.
type stage struct {
	door    attack.Door
	closers []func() error
}

func (s *stage) close() {
	for _, c := range slices.Backward(s.closers) {
		_ = c()
	}
}

func openStage(c attack.Case, gateway bool) (*stage, error) {
	config, _, err := Parse("config", []byte(c.Configuration()))
	if err != nil {
		return nil, err
	}
	app, journal := &attack.App{}, &attack.Journal{}
	config.Record, config.Logger = journal.Record, slog.New(slog.DiscardHandler)
	st := &stage{}
	var inner http.Handler = app
	if gateway {
		to, err := st.serveApp(app)
		if err != nil {
			return nil, err
		}
		for i := range config.Sites {
			config.Sites[i].To = to
		}
	}
	chain, err := New(config, nil)
	if err == nil && gateway {
		inner, err = chain.Gateway()
	}
	if err != nil {
		st.close()
		return nil, err
	}
	if err := enrol(chain, c.Accounts); err != nil {
		st.close()
		return nil, err
	}
	return st, st.serve(chain.Server(inner), app, journal)
}

// enrol makes the accounts of a case, as an administrator does.
func enrol(chain *Chain, accounts []attack.Account) error {
	for _, a := range accounts {
		text, err := json.Marshal(map[string]any{"user": a.Name, "password": attack.Password(a.Name), "roles": a.Roles})
		if err != nil {
			return err
		}
		r, err := http.NewRequest(http.MethodPost, "http://hauberk/users/add", bytes.NewReader(text))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		if status, text := chain.Administer(r); status != http.StatusOK {
			return fmt.Errorf("account %q: %s", a.Name, text)
		}
	}
	return nil
}

// serveApp puts the app on a socket of its own and returns its URL.
func (s *stage) serveApp(app http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: app, ErrorLog: log.New(io.Discard, "", 0)}
	s.closers = append(s.closers, server.Close)
	go server.Serve(l)
	return "http://" + l.Addr().String(), nil
}

func (s *stage) serve(server *Server, app *attack.App, journal *attack.Journal) error {
	s.closers = append(s.closers, server.Close)
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	clear, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		secure.Close()
		return err
	}
	go server.Serve(secure)
	go server.ServeClear(clear)
	s.door = attack.Door{App: app, Journal: journal,
		Dial: Dialer(secure.Addr().String(), clear.Addr().String())}
	return nil
}

// Dialer opens connections to a server on this machine for a replay. It does
// not judge certificates: what stands on the loopback address was put there by
// the caller, and the attack files of https ask for names that no certificate
// has.
func Dialer(secure, clear string) func(context.Context, attack.Protocol, string) (net.Conn, error) {
	return func(ctx context.Context, p attack.Protocol, sni string) (net.Conn, error) {
		var d net.Dialer
		if p == attack.Clear {
			return d.DialContext(ctx, "tcp", clear)
		}
		conn, err := d.DialContext(ctx, "tcp", secure)
		if err != nil {
			return nil, err
		}
		t := tls.Client(conn, &tls.Config{
			ServerName: sni, NextProtos: []string{string(p)}, InsecureSkipVerify: true,
		})
		if err := t.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return t, nil
	}
}

// incident is what differs in each answer: ids of 128 bits, in hex, those of
// sessions, the marks of devices, and what a hand-over is known by.
var incident = regexp.MustCompile(`[0-9a-f]{32}|hauberk(-device)?=[0-9A-Za-z_.-]{43,}|hauberk-handover-[0-9a-f]{16}=[0-9A-Za-z_-]*|(state|code)=[0-9A-Za-z_-]{43}`)

// clock is a time on a page.
var clock = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}Z)?`)

// moment is what differs between two doors that are asked one after the other.
var moment = regexp.MustCompile(`[0-9]+`)

// alike compares what came through the two doors but for date and ids.
func alike(library, gateway []attack.Response) error {
	var errs []error
	if len(library) != len(gateway) {
		errs = append(errs, fmt.Errorf("the number of answers differs: library %d, gateway %d", len(library), len(gateway)))
	}
	for i := range min(len(library), len(gateway)) {
		l, g := neutral(library[i]), neutral(gateway[i])
		differ := func(what string, a, b any) {
			if !reflect.DeepEqual(a, b) {
				errs = append(errs, fmt.Errorf("answer %d: %s differs: library %v, gateway %v", i+1, what, a, b))
			}
		}
		differ("status", l.Status, g.Status)
		differ("rule", l.Rules, g.Rules)
		differ("end", [2]bool{l.Closed, l.Cut}, [2]bool{g.Closed, g.Cut})
		differ("header", l.Header, g.Header)
		differ("body", l.Body, g.Body)
	}
	return errors.Join(errs...)
}

func neutral(r attack.Response) attack.Response {
	h := http.Header{}
	for name, values := range r.Header {
		if name == "Date" || name == "X-Request-Id" {
			continue
		}
		for _, v := range values {
			if name == "Ratelimit" || name == "Retry-After" {
				v = moment.ReplaceAllString(v, "N") // they tell the time
			}
			h.Add(name, incident.ReplaceAllString(v, "ID"))
		}
	}
	r.Header, r.Body = h, clock.ReplaceAllString(incident.ReplaceAllString(r.Body, "ID"), "TIME")
	return r
}
