// Package remote fetches what an issuer of tokens publishes: its metadata and
// its keys.
//
// It refuses plain http to anything but this machine, redirects to another
// host, answers above a bound and servers that do not answer in time. What was
// fetched is kept by Value, which asks once for all who wait and asks seldom,
// so that a client with forged tokens cannot make this gate flood an issuer.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"hauberk.dev/internal/origin"
)

// The bounds of one fetch.
const (
	MaxBody  = 1 << 20
	Patience = 10 * time.Second
)

// Client returns a client that keeps to one host: a redirect elsewhere would
// let a hole in the issuer's site name the keys, or send a secret away. What
// is posted is never redirected.
func Client() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Timeout: Patience,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    5 * time.Second,
			ResponseHeaderTimeout:  Patience,
			MaxResponseHeaderBytes: 64 << 10,
			MaxConnsPerHost:        8,
			IdleConnTimeout:        time.Minute,
		},
		CheckRedirect: follow,
	}
}

func follow(r *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case first.Method != http.MethodGet:
		return fmt.Errorf("a %s is not redirected", first.Method)
	case r.URL.Scheme != first.URL.Scheme || r.URL.Host != first.URL.Host:
		return fmt.Errorf("redirected to another host, %q", r.URL.Host)
	case len(via) > 3:
		return errors.New("redirected more than three times")
	}
	return nil
}

// Check says what is wrong with a URL that secrets or keys travel by. Plain
// http is for loopback names, and only where plain says that the issuer itself
// is one: an issuer out there has no business at this machine.
func Check(s string, plain bool) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a URL", s)
	case u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "":
		return fmt.Errorf("%q: want https://host/path, without user and fragment", s)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && plain && origin.Loopback(u.Host):
		return nil
	}
	return fmt.Errorf("%q: want https", s)
}

// Plain says whether an issuer is a loopback one without TLS, for development.
func Plain(issuer string) bool {
	u, err := url.Parse(issuer)
	return err == nil && u.Scheme == "http" && origin.Loopback(u.Host)
}

// Get fetches a JSON document of at most MaxBody.
func Get(ctx context.Context, c *http.Client, at string, header http.Header) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	res, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("GET %s: status %d", at, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	if err != nil {
		return nil, nil, fmt.Errorf("GET %s: %w", at, err)
	}
	if len(body) > MaxBody {
		return nil, nil, fmt.Errorf("GET %s: more than %d bytes", at, MaxBody)
	}
	return body, res.Header, nil
}
