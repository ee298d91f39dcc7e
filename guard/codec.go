package guard

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds what a decoder keeps of one answer.
const maxWindow = 8 << 20

// errEncoding says that an answer came in an encoding which was not asked for.
var errEncoding = errors.New("guard: a filtered answer has an encoding that cannot be opened")

// narrow leaves in Accept-Encoding what a filter can open.
func narrow(h http.Header) {
	list, ok := h["Accept-Encoding"]
	if !ok {
		return
	}
	var few [4]string
	kept := few[:0]
	changed := len(list) > 1
	for _, line := range list {
		for coding := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(coding, ";")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "gzip", "br", "zstd", "identity":
				kept = append(kept, strings.TrimSpace(coding))
			default:
				changed = true
			}
		}
	}
	switch {
	case !changed:
	case len(kept) == 0:
		delete(h, "Accept-Encoding")
	default:
		h["Accept-Encoding"] = []string{strings.Join(kept, ", ")}
	}
}

// encoder is a compressor that can be flushed.
type encoder interface {
	io.WriteCloser
	Flush() error
}

func newEncoder(coding string, out io.Writer) (encoder, error) {
	switch coding {
	case "gzip", "x-gzip":
		return gzip.NewWriter(out), nil
	case "br":
		return brotli.NewWriterLevel(out, 4), nil
	case "zstd":
		return zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	}
	return nil, fmt.Errorf("%w: %q", errEncoding, coding)
}

// decoder is a push filter made of a pull reader: Write runs the reader, in a
// coroutine, until it has used up the bytes, so that flushes arrive exactly
// and no goroutine outlives the answer.
type decoder struct {
	out  io.Writer
	next func() ([]byte, bool)
	stop func()
	in   []byte
	eof  bool
	err  error
}

func newDecoder(coding string, out io.Writer) (*decoder, error) {
	switch coding {
	case "gzip", "x-gzip", "br", "zstd":
	default:
		return nil, fmt.Errorf("%w: %q", errEncoding, coding)
	}
	d := &decoder{out: out}
	d.next, d.stop = iter.Pull(func(yield func([]byte) bool) { d.err = d.run(coding, yield) })
	return d, nil
}

// run yields decoded bytes, and nil when it wants more.
func (d *decoder) run(coding string, yield func([]byte) bool) error {
	stopped := false
	src := readFunc(func(p []byte) (int, error) {
		for len(d.in) == 0 {
			if d.eof || stopped {
				return 0, io.EOF
			}
			stopped = !yield(nil)
		}
		n := copy(p, d.in)
		d.in = d.in[n:]
		return n, nil
	})
	r, closer, err := openCoding(coding, src)
	if err != nil {
		if err == io.EOF {
			return nil // an empty body is nobody's fault
		}
		return err
	}
	defer closer()
	buf := make([]byte, 16<<10)
	for !stopped {
		n, err := r.Read(buf)
		if n > 0 && !stopped && !yield(buf[:n]) {
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func openCoding(coding string, src io.Reader) (io.Reader, func(), error) {
	switch coding {
	case "br":
		return brotli.NewReader(src), func() {}, nil
	case "zstd":
		z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	z, err := gzip.NewReader(src)
	return z, func() {}, err
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Write decodes p and writes all that it yields.
func (d *decoder) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	d.in = p
	if err := d.drain(); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (d *decoder) drain() error {
	for {
		chunk, ok := d.next()
		if !ok {
			return d.err
		}
		if chunk == nil {
			return nil
		}
		if _, err := d.out.Write(chunk); err != nil {
			d.stop()
			d.err = err
			return err
		}
	}
}

// Close ends the encoded stream: one that was cut short is an error. Who only
// watches is closed all the same; a filter is closed by its body.
func (d *decoder) Close() error {
	defer d.stop()
	err := d.err
	if err == nil {
		d.eof = true
		err = d.drain()
	}
	if c, ok := d.out.(io.Closer); ok {
		if _, inner := d.out.(*stage); !inner {
			return errors.Join(err, c.Close())
		}
	}
	return err
}
