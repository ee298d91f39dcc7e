package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"hauberk.dev"
)

// privateSocket is where a serve that runs answers to who owns its state.
const privateSocket = "monitor.sock"

// maxAnswer bounds what the administration answers.
const maxAnswer = 64 << 20

// place is where accounts are administered.
type place struct{ state, config string }

func (p *place) flags(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&p.state, "state", "", "the state directory of serve")
	c.Flags().StringVarP(&p.config, "config", "c", configFile, "the config file of serve")
	return c
}

// ask sends one request to the administration of the serve that runs on the
// state directory, or, where none does, does the same in this process. into
// takes the answer; nil drops it.
func (p *place) ask(c *cobra.Command, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return p.send(c, method, path, bytes.NewReader(text), into)
}

func (p *place) send(c *cobra.Command, method, path string, body io.Reader, into any) error {
	dir, err := namedState(c, p.state, p.config)
	if err != nil {
		return err
	}
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://hauberk"+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	socket := filepath.Join(dir, privateSocket)
	for until := time.Now().Add(starting); ; time.Sleep(50 * time.Millisecond) {
		late := time.Now().After(until)
		if _, err := running(dir); listens(socket) || err == nil && late {
			return overSocket(socket, r, into)
		} else if err == nil {
			continue
		}
		if err := p.inProcess(c, dir, r, into); late || !errors.Is(err, errInUse) {
			return err
		}
	}
}

// starting is how long a serve that holds the state may take until it answers:
// it says where it listens before its private socket is there.
const starting = 5 * time.Second

// listens says that something listens on a socket: an app that has Hauberk as a
// library administers there too, without the files of serve.
func listens(socket string) bool {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// overSocket asks the serve that runs.
func overSocket(socket string, r *http.Request, into any) error {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	a, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("ask the serve that runs by %s: %w", socket, errors.Unwrap(err))
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
	if err != nil {
		return err
	}
	return understand(a.StatusCode, text, into)
}

// inProcess makes the chain of serve on the state directory, which it holds
// meanwhile, and asks it.
func (p *place) inProcess(c *cobra.Command, dir string, r *http.Request, into any) (err error) {
	config := hauberk.Unmodified("")
	if p.config != configFile || exists(p.config) {
		l, err := load(p.config)
		if err != nil {
			return err
		}
		config = l.Config
	}
	config.State, config.Logger = dir, slog.New(slog.DiscardHandler)
	config.Listen = cmp.Or(config.Listen, usualListen()) // links name its port
	unlock, err := lockState(dir)
	if err != nil {
		return err
	}
	defer unlock()
	db, err := openStore(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	chain, err := hauberk.New(config, kept(db))
	if err != nil {
		return err
	}
	// The journal is written in the background; what was done must be in it.
	ctx, cancel := context.WithCancel(r.Context())
	written := make(chan error, 1)
	go func() { written <- journal(ctx, chain) }()
	defer func() {
		time.Sleep(50 * time.Millisecond) // until it has begun
		cancel()
		err = errors.Join(err, <-written)
	}()
	status, text := chain.Administer(r)
	return understand(status, text, into)
}

func journal(ctx context.Context, chain *hauberk.Chain) error {
	for _, p := range chain.Principles() {
		if p.Name == "monitor" {
			return p.Run(ctx)
		}
	}
	return nil
}

// understand reads an answer, or the problem in its place.
func understand(status int, text []byte, into any) error {
	if status != http.StatusOK {
		var problem struct{ Title, Detail string }
		if err := json.Unmarshal(text, &problem); err != nil || problem.Title == "" {
			return fmt.Errorf("the administration answered %d", status)
		}
		if problem.Detail == "" {
			return errors.New(problem.Title)
		}
		return fmt.Errorf("%s: %s", problem.Title, problem.Detail)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}
