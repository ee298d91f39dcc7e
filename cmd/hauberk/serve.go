package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"hauberk.dev"
	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/monitor"
)

// stopTime is how long open requests may take to end after a signal. It is
// under the 30 s after which container runtimes kill, and systemd's 90 s.
const stopTime = 25 * time.Second

// serveFlags are the flags of serve. One that is given wins over the file.
type serveFlags struct {
	to, config          string
	listen, http, state string
	format, logFile     string
	observe             string
	hosts               []string

	load     func(file string) (loaded, error)
	watching observation
}

func serveCommand() *cobra.Command {
	f := serveFlags{load: load}
	c := &cobra.Command{
		Use: "serve", Short: "stand in front of an app and guard it", Args: noArgs,
		Long: "Serve stands in front of an app and guards it.\n\n" +
			"  hauberk serve --to localhost:3000    an app, without a config file\n" +
			"  hauberk serve -c hauberk.yaml        what a config file says\n" +
			"  hauberk serve                        what ./hauberk.yaml says",
		RunE: func(c *cobra.Command, _ []string) error { return serve(c, &f) },
	}
	s := c.Flags()
	s.StringVar(&f.to, "to", "", "the app: localhost:3000, 3000, http://…, https://… (verified) or unix:/…")
	s.StringVarP(&f.config, "config", "c", "", "the config file; without --to ./"+configFile)
	s.StringVar(&f.listen, "listen", "", "where to listen with TLS (default :8443, as root :443)")
	s.StringVar(&f.http, "http", "", "where to listen in clear text, for redirects and refusals")
	s.StringArrayVar(&f.hosts, "host", nil, "a name to serve, repeatable (default localhost, *.localhost, *.test, loopback)")
	s.StringVar(&f.state, "state", "", "the directory for keys, certificates and events")
	s.StringVar(&f.format, "log", "", "the format of the log: json or text (default json)")
	s.StringVar(&f.logFile, "log-file", "", "where the log goes; it is cut before it grows too large (default standard output)")
	s.StringVar(&f.observe, "observe", "", "excuse every rule that may be excepted for so long, like 14d, and journal what it would have refused")
	return c
}

// complete joins the file and the flags, and fills in what neither says.
func (f *serveFlags) complete(c *cobra.Command) (loaded, error) {
	l, err := f.read(c)
	if err != nil {
		return l, err
	}
	for _, flag := range []struct {
		name  string
		value string
		to    *string
	}{{"listen", f.listen, &l.Listen}, {"http", f.http, &l.HTTP}, {"log", f.format, &l.Log}, {"log-file", f.logFile, &l.LogFile}} {
		if c.Flags().Changed(flag.name) {
			*flag.to = flag.value
		}
	}
	if c.Flags().Changed("host") {
		l.Host = f.hosts
	}
	l.Listen = cmp.Or(l.Listen, usualListen())
	// What comes from flags is judged as in a file, and is how serve was called.
	if _, err := hauberk.New(hauberk.Config{Listen: f.listen, HTTP: f.http}, nil); err != nil {
		return l, usage{err}
	}
	l.State, err = stateDir(f.state, l.State)
	return l, err
}

// usualListen is where serve listens where nobody says.
func usualListen() string {
	if os.Geteuid() == 0 {
		return ":443"
	}
	return ":8443"
}

// file is the config file that is read, "" for none.
func (f *serveFlags) file() string {
	if f.config == "" && f.to == "" {
		return configFile
	}
	return f.config
}

// read gets the file, or the one site that --to stands for, or both.
func (f *serveFlags) read(c *cobra.Command) (loaded, error) {
	file := f.file()
	if !c.Flags().Changed("to") {
		if f.config == "" && !exists(file) {
			return loaded{}, errors.New("there is no " + configFile + " here: run `hauberk init` to write one, or `hauberk serve --to localhost:3000`")
		}
		return f.load(file)
	}
	to, err := upstream(f.to)
	if err != nil {
		return loaded{}, usage{err}
	}
	var l loaded
	if file != "" {
		if l, err = f.load(file); err != nil {
			return l, err
		}
	}
	l.Sites = hauberk.Unmodified(to).Sites
	// The site's headers change what they name in the file's, as in a file.
	profile := l.Sites[0].Headers.Profile
	of := l.Headers
	of.Profile = profile
	l.Sites[0].Headers = new(headers.Config)
	*l.Sites[0].Headers = of
	return l, nil
}

// serve does nothing that leaves a trace until all that it was told is known
// to be right and the ports are its own.
func serve(c *cobra.Command, f *serveFlags) error {
	room := roomy()
	defer room.leave()
	l, err := f.complete(c)
	if err != nil {
		return err
	}
	watch, err := watchFor(f.observe)
	if err != nil {
		return err
	}
	if l.Logger, err = monitor.Logger(c.OutOrStdout(), l.Log); err != nil {
		return usage{err}
	}
	if _, err := l.try(); err != nil {
		return err
	}
	tty := openTerminal()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	open, err := openAll(l.Config)
	if err != nil {
		return err
	}
	defer open.close()
	unlock, err := lockState(l.State)
	if err != nil {
		return err
	}
	defer unlock()
	db, err := openStore(l.State)
	if err != nil {
		return err
	}
	defer db.Close()
	v := voiceOf(c.ErrOrStderr())
	if l.LogFile != "" {
		file, err := openLog(l.LogFile, l.LogSize, func(err error) { v.warn("%s", err) })
		if err != nil {
			return l.locate(err)
		}
		defer file.Close()
		if l.Logger, err = monitor.Logger(file, l.Log); err != nil {
			return err
		}
	}
	f.watching = observe(l.State, watch, time.Now())
	s := kept(db)
	r := &renewer{c: c, flags: f, first: l, store: s, said: serving{Process: os.Getpid()}, asked: asksWho(l.Config)}
	if open.secure != nil {
		l.Listen = open.secure.Addr().String() // redirects name the real port
	}
	r.listen = l.Listen
	if err := f.watching.apply(&l, time.Now()); err != nil {
		return err
	}
	chain, app, err := l.build(s)
	if err != nil {
		return err
	}
	if f.to != "" && f.config == "" && exists(configFile) {
		v.warn("%s is here but is not read beside --to: add -c %s", configFile, configFile)
	}
	greet(v, l, chain, open)
	administrator(c.Context(), v, l, chain)
	f.watching.say(v, l.State, time.Now())
	if err := r.said.write(l.State); err != nil {
		return fmt.Errorf("open the state directory: %w", err)
	}
	defer os.Remove(servingFile(l.State))
	r.v, r.server = v, chain.Server(app)
	return attend(r, tty, open, signals)
}

// sockets are the open listeners of serve; nil where there is none.
type sockets struct{ secure, clear, proxies net.Listener }

func (s sockets) close() {
	for _, l := range []net.Listener{s.secure, s.clear, s.proxies} {
		if l != nil {
			l.Close()
		}
	}
}

func openAll(c hauberk.Config) (sockets, error) {
	var s sockets
	for _, want := range []struct {
		flag, addr string
		to         *net.Listener
	}{{"--listen", c.Listen, &s.secure}, {"--http", c.HTTP, &s.clear}, {"proxy_http", c.ProxyHTTP, &s.proxies}} {
		if want.addr == "" || want.addr == hauberk.NoListen {
			continue
		}
		l, err := listen(want.flag, want.addr)
		if err != nil {
			s.close()
			return s, err
		}
		*want.to = l
	}
	return s, nil
}

// listen opens a port, or says who holds it.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is held by %s: stop it, or choose another port with %s", addr, holder(addr), flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: ports below 1024 are for root: choose another with %s, such as :8443", addr, flag)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

func holder(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		return "another process"
	}
	for _, l := range listeners(uint16(n)) {
		return l.String()
	}
	return "another process"
}

// attend serves until a signal or a failure. The first signal waits for open
// requests, the second does not. SIGHUP reloads.
func attend(r *renewer, tty terminal, open sockets, signals <-chan os.Signal) error {
	v, server := r.v, r.server
	ended := make(chan error, 3)
	if open.secure != nil {
		go func() { ended <- server.Serve(open.secure) }()
	}
	if open.clear != nil {
		go func() { ended <- server.ServeClear(open.clear) }()
	}
	if open.proxies != nil {
		go func() { ended <- server.ServeProxies(open.proxies) }()
	}
	for {
		select {
		case err := <-ended:
			if errors.Is(err, http.ErrServerClosed) {
				continue
			}
			server.Close()
			return err
		case s := <-signals:
			if s == syscall.SIGHUP && !tty.gone() {
				r.renew()
				continue
			}
			return stop(v, server, signals)
		}
	}
}

func stop(v voice, server *hauberk.Server, signals <-chan os.Signal) error {
	v.line("stopping when the open requests have ended; a second signal stops at once")
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- server.Shutdown(ctx) }()
	first := time.Now()
	for {
		select {
		case err := <-done:
			if err != nil {
				server.Close()
				return fmt.Errorf("stopped with requests still open: %w", err)
			}
			return nil
		case s := <-signals:
			if s == syscall.SIGHUP || time.Since(first) < oneWish {
				continue // npm, make and a terminal send the same wish twice
			}
			server.Close()
			return errors.New("stopped at once: requests may be lost")
		}
	}
}

// oneWish is the time in which several signals are one wish.
const oneWish = time.Second
