package attack

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2/hpack"
)

// Frame types and flags of RFC 9113, section 6.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindow       = 0x8
	frameContinuation = 0x9

	flagEnd        = 0x1 // END_STREAM; ACK on SETTINGS and PING
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	maxFrame      = 16 << 10
	initialWindow = 1<<16 - 1
)

// exchange2 sends a request that no client library would: names and values go
// out as the case writes them.
func exchange2(conn net.Conn, s Step, host string, kept values) ([]Response, error) {
	if t, ok := conn.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol != "h2" {
		return nil, fmt.Errorf("the server does not speak HTTP/2")
	}
	if len(s.Want) > 1 {
		return nil, fmt.Errorf("one answer a request over HTTP/2")
	}
	body := expand(kept.fill(s.Body))
	if len(body) > initialWindow {
		return nil, fmt.Errorf("a body of %d bytes is too long for HTTP/2 here; at most %d", len(body), initialWindow)
	}
	out := bytes.NewBufferString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	settings := binary.BigEndian.AppendUint32([]byte{0, 4}, maxRepeat)
	writeFrame(out, frameSettings, 0, 0, settings)
	writeFrame(out, frameWindow, 0, 0, binary.BigEndian.AppendUint32(nil, maxRepeat))
	s.writeRequest2(out, host, body, kept)
	var writing sync.Mutex // no frame of ours may overtake the preface
	writing.Lock()
	go func() {
		defer writing.Unlock()
		_, _ = conn.Write(out.Bytes())
	}()
	r, err := readResponse2(conn, &writing)
	return []Response{r}, err
}

func (s Step) writeRequest2(out *bytes.Buffer, host, body string, kept values) {
	pseudo := []Field{{":method", s.Method}, {":scheme", "https"}, {":path", expand(kept.fill(s.Target))}}
	var regular []Field
	for _, f := range s.fields(":authority", host, kept) {
		if f.Name[0] != ':' {
			regular = append(regular, Field{strings.ToLower(f.Name), f.Value})
			continue
		}
		known := false
		for i := range pseudo {
			if pseudo[i].Name == f.Name {
				pseudo[i].Value, known = f.Value, true
			}
		}
		if !known {
			pseudo = append(pseudo, f)
		}
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range append(pseudo, regular...) {
		_ = enc.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value})
	}
	kind, end := byte(frameHeaders), byte(0)
	if body == "" {
		end = flagEnd
	}
	for first := true; first || block.Len() > 0; first = false {
		part, flags := block.Next(maxFrame), end
		if block.Len() == 0 {
			flags |= flagEndHeaders
		}
		writeFrame(out, kind, flags, 1, part)
		kind, end = frameContinuation, 0
	}
	for rest := body; rest != ""; {
		n := min(len(rest), maxFrame)
		flags := byte(0)
		if n == len(rest) {
			flags = flagEnd
		}
		writeFrame(out, frameData, flags, 1, []byte(rest[:n]))
		rest = rest[n:]
	}
}

func writeFrame(out *bytes.Buffer, kind, flags byte, stream uint32, payload []byte) {
	n := len(payload)
	out.Write([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags})
	out.Write(binary.BigEndian.AppendUint32(nil, stream))
	out.Write(payload)
}

func readFrame(in io.Reader) (kind, flags byte, stream uint32, payload []byte, err error) {
	var head [9]byte
	if _, err = io.ReadFull(in, head[:]); err != nil {
		return
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(in, payload)
	return head[3], head[4], binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1), payload, err
}

// stream2 gathers the answer on the one stream.
type stream2 struct {
	res   Response
	block []byte
	dec   *hpack.Decoder
	ended bool
	done  bool
}

func readResponse2(conn net.Conn, writing *sync.Mutex) (Response, error) {
	st := &stream2{dec: hpack.NewDecoder(4096, nil)}
	for !st.done {
		kind, flags, stream, payload, err := readFrame(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return st.res, fmt.Errorf("no answer: %w", err)
		}
		if err != nil || kind == frameReset && stream == 1 || kind == frameGoAway && refused(payload) {
			st.res.Closed = st.res.Status == 0
			st.res.Cut = st.res.Status != 0
			return st.res, nil
		}
		var ack bytes.Buffer
		switch {
		case kind == frameSettings && flags&flagEnd == 0:
			writeFrame(&ack, frameSettings, flagEnd, 0, nil)
		case kind == framePing && flags&flagEnd == 0:
			writeFrame(&ack, framePing, flagEnd, 0, payload)
		case stream == 1:
			if err := st.take(kind, flags, payload); err != nil {
				return st.res, err
			}
		}
		if ack.Len() > 0 {
			writing.Lock()
			_, _ = conn.Write(ack.Bytes())
			writing.Unlock()
		}
	}
	length, err := strconv.Atoi(st.res.Header.Get("Content-Length"))
	st.res.Cut = err == nil && st.res.Body != "" && length != len(st.res.Body)
	return st.res, nil
}

// refused says whether GOAWAY announces an error, or never processed our stream.
func refused(payload []byte) bool {
	return len(payload) >= 8 && (binary.BigEndian.Uint32(payload) < 1 || binary.BigEndian.Uint32(payload[4:]) != 0)
}

func (st *stream2) take(kind, flags byte, payload []byte) error {
	if flags&flagPadded != 0 && (kind == frameData || kind == frameHeaders) {
		if len(payload) == 0 || int(payload[0]) >= len(payload) {
			return fmt.Errorf("bad padding")
		}
		payload = payload[1 : len(payload)-int(payload[0])]
	}
	switch kind {
	case frameData:
		st.res.Body += string(payload)
	case frameHeaders, frameContinuation:
		if kind == frameHeaders && flags&flagPriority != 0 && len(payload) >= 5 {
			payload = payload[5:]
		}
		st.block = append(st.block, payload...)
		if flags&flagEndHeaders != 0 {
			if err := st.header(); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	st.ended = st.ended || kind != frameContinuation && flags&flagEnd != 0
	st.done = st.ended && st.block == nil
	return nil
}

func (st *stream2) header() error {
	fields, err := st.dec.DecodeFull(st.block)
	st.block = nil
	if err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	if st.res.Status != 0 {
		return nil // trailers
	}
	h := http.Header{}
	status := 0
	for _, f := range fields {
		if f.Name == ":status" {
			status, _ = strconv.Atoi(f.Value)
		} else {
			h.Add(f.Name, f.Value)
		}
	}
	if status >= 200 {
		st.res.Status, st.res.Header = status, h
	}
	return nil
}
