package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"hauberk.dev"
	"hauberk.dev/guard/access"
	"hauberk.dev/guard/headers"
	"hauberk.dev/guard/identity"
	"hauberk.dev/store"
	"hauberk.dev/store/sqlite"
)

// first makes the link of the first administrator while there is none. It stands
// in a private file; a log would keep it for others to read.
func first(ctx context.Context, chain *hauberk.Chain, state string) error {
	_, err := chain.First(ctx)
	if errors.Is(err, identity.ErrAdministrator) {
		return nil
	}
	if err == nil {
		log.Printf("nobody is an administrator yet: within 15 minutes, open the link in %s", filepath.Join(state, "identity", "first-administrator"))
	}
	return err
}

// serve is the whole promise: the chain around the app and the listener before
// it, with TLS from a local CA.
func serve(ctx context.Context, listen, state string, app http.Handler) error {
	if listen == "" {
		listen = "127.0.0.1:8443"
	}
	if state == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		state = filepath.Join(dir, "guestbook")
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	db, err := sqlite.Open(filepath.Join(state, "hauberk.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	chain, err := hauberk.New(hauberk.Config{
		Listen: listen,
		State:  state,
		Sites: []hauberk.Site{{
			Hosts: []string{"localhost"},
			// Everybody may read and sign; the desk is for editors. What is finer
			// than a path the handlers ask themselves, by package identity.
			Access: access.Config{Rules: []access.Rule{
				{On: "/", Allow: []string{"everyone"}},
				{On: "/desk", Allow: []string{"role:editor"}},
			}, Requestable: []string{"editor"}},
			Sections: hauberk.Sections{
				// The pages load nothing from elsewhere and have no inline script.
				Headers: &headers.Config{Profile: "strict"},
			},
		}},
	}, &store.Store{
		Records: db, Journal: db,
		Buckets: store.NewBuckets(), // No request waits for the disk to learn its limit.
	})
	if err != nil {
		return err
	}
	background := make(chan error, 1)
	go func() { background <- chain.Run(ctx) }()

	s := chain.Server(app)
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		drained <- s.Shutdown(grace)
	}()
	if err := first(ctx, chain, state); err != nil {
		return err
	}
	log.Printf("guest book listening on https://localhost%s, CA in %s", portOf(listen), filepath.Join(state, "ca.pem"))
	if err := s.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	if err := <-drained; err != nil {
		return err
	}
	return <-background
}
