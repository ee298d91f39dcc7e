// Command nethttp is a guest book in Go that Hauberk guards as a library.
//
//	go run ./examples/nethttp             https://localhost:8443, the whole promise
//	go run ./examples/nethttp -handler    http://127.0.0.1:3000, the request path alone
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"hauberk.dev"
)

func main() {
	handler := flag.Bool("handler", false, "guard the handler alone, behind net/http's own server")
	listen := flag.String("listen", "", `address to listen on (default "127.0.0.1:8443", with -handler "127.0.0.1:3000")`)
	state := flag.String("state", "", "folder for keys and certificates (default: the user's state folder)")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	run := serve
	if *handler {
		run = protect
	}
	if err := run(ctx, *listen, *state, newBook().routes()); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

// portOf returns the port of an address, with its colon.
func portOf(addr string) string {
	if _, port, err := net.SplitHostPort(addr); err == nil {
		return ":" + port
	}
	return ""
}

// protect is the first minute: one call around a handler, any server. It
// guards the request path; what only a listener sees (TLS, the bytes before
// they are parsed, slow clients) needs serve.
func protect(ctx context.Context, listen, _ string, app http.Handler) error {
	if listen == "" {
		listen = "127.0.0.1:3000"
	}
	s := &http.Server{
		Addr:              listen,
		Handler:           hauberk.Protect(app),
		ReadHeaderTimeout: 5 * time.Second,
	}
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		drained <- s.Shutdown(grace)
	}()
	log.Printf("guest book listening on http://localhost%s", portOf(listen))
	if err := s.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return <-drained
}
