package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// errSwitched ends ReverseProxy's part in an upgrade that was handed on.
var errSwitched = errors.New("gateway: the connection has been handed on")

// tunnel hands the two connections of an upgrade to each other and lets the
// handler return. ReverseProxy would stay in the handler until they end, and
// with it all rooms around: a WebSocket that is open for a month would keep a
// chain that was replaced a month ago.
func tunnel(w http.ResponseWriter, res *http.Response) error {
	asked, switched := protocol(res.Request.Header), protocol(res.Header)
	back, ok := res.Body.(io.ReadWriteCloser)
	res.Body = http.NoBody // ReverseProxy closes what stands there
	switch {
	case !ok:
		return errors.New("the app switched protocols on a connection that cannot be written to")
	case switched == "" || !strings.EqualFold(asked, switched):
		back.Close()
		return fmt.Errorf("the app switched to protocol %q when %q was asked for", switched, asked)
	}
	user, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		back.Close()
		return fmt.Errorf("switch protocols: %w", err)
	}
	h := w.Header()
	for name, values := range res.Header {
		h[name] = append(h[name], values...)
	}
	head := http.Response{StatusCode: res.StatusCode, ProtoMajor: 1, ProtoMinor: 1, Header: h}
	if err := errors.Join(head.Write(buf), buf.Flush()); err != nil {
		user.Close()
		back.Close()
		return fmt.Errorf("switch protocols: %w", err)
	}
	go carry(user, back)
	return errSwitched
}

// protocol is what a head upgrades to, "" for nothing.
func protocol(h http.Header) string {
	for _, line := range h["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return h.Get("Upgrade")
			}
		}
	}
	return ""
}

// carry copies both ways until both sides have ended or one fails. Each may
// end its half and still hear the other. It must hold nothing but the two.
func carry(user net.Conn, back io.ReadWriteCloser) {
	end := sync.OnceFunc(func() {
		user.Close()
		back.Close()
	})
	defer end()
	half := func(to io.Writer, from io.Reader) {
		_, err := io.Copy(to, from)
		if w, ok := to.(interface{ CloseWrite() error }); err == nil && ok && w.CloseWrite() == nil {
			return
		}
		end()
	}
	var down sync.WaitGroup
	down.Go(func() { half(user, back) })
	half(back, user)
	down.Wait()
}
