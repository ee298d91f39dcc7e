package wire

// body follows a chunked body byte by byte (RFC 9112 section 7.1). Chunk
// extensions are refused: nobody uses them, and readers disagree on where one
// ends.
type body struct {
	step    step
	digits  int
	left    int64
	name    [maxName]byte
	named   int
	trailer int
}

type step int

const (
	sizeStart step = iota
	sizeMore
	sizeLF
	data
	dataCR
	dataLF
	trailerStart
	trailerName
	trailerValue
	trailerLF
	lastLF
	done
)

const (
	// maxDigits keeps a chunk size far from where an int64 overflows.
	maxDigits = 15
	// maxTrailer bounds the trailer section. net/http looks for its end in
	// one buffer of 4 KiB, and must find our refusal before it is full.
	maxTrailer = 4095
	// maxName is longer than any name that is refused in a trailer.
	maxName = 32
)

// check goes on through b. It returns how many bytes are good, and whether the
// body ended with them.
func (c *body) check(b []byte) (int, bool, *Error) {
	for i := 0; i < len(b); {
		if c.step == data {
			n := min(c.left, int64(len(b)-i))
			c.left -= n
			i += int(n)
			if c.left == 0 {
				c.step = dataCR
			}
			continue
		}
		if err := c.byte(b[i]); err != nil {
			return i, false, err
		}
		i++
		if c.step == done {
			return i, true, nil
		}
	}
	return len(b), false, nil
}

func (c *body) byte(b byte) *Error {
	switch c.step {
	case sizeStart, sizeMore:
		return c.size(b)
	case sizeLF:
		if b != '\n' {
			return badChunk(b)
		}
		c.digits = 0
		if c.step = data; c.left == 0 {
			c.step = trailerStart
		}
	case dataCR:
		if b != '\r' {
			return badChunk(b)
		}
		c.step = dataLF
	case dataLF:
		if b != '\n' {
			return badChunk(b)
		}
		c.step = sizeStart
	default:
		return c.inTrailer(b)
	}
	return nil
}

func (c *body) size(b byte) *Error {
	switch {
	case isHex(b):
		if c.digits++; c.digits > maxDigits {
			return refuse(Framing, "body", "a chunk size of more than %d digits", maxDigits)
		}
		v := b - '0'
		if !isDigit(b) {
			v = lower(b) - 'a' + 10
		}
		c.left = c.left<<4 | int64(v)
		c.step = sizeMore
	case b == '\r' && c.step == sizeMore:
		c.step = sizeLF
	default:
		return badChunk(b)
	}
	return nil
}

func badChunk(b byte) *Error {
	return refuse(Framing, "body", "byte %#02x in the framing of a chunk", b)
}

func (c *body) inTrailer(b byte) *Error {
	if c.trailer++; c.trailer > maxTrailer {
		return refuse(HeadTooLarge, "trailer", "larger than %d bytes", maxTrailer)
	}
	switch c.step {
	case trailerStart:
		if b == '\r' {
			c.step = lastLF
			return nil
		}
		c.named, c.step = 0, trailerName
		return c.inName(b)
	case trailerName:
		return c.inName(b)
	case trailerValue:
		if b == '\r' {
			c.step = trailerLF
		} else if (b < ' ' && b != '\t') || b == 0x7f {
			return refuse(Framing, "trailer", "byte %#02x in a value", b)
		}
	case trailerLF, lastLF:
		if b != '\n' {
			return refuse(Framing, "trailer", "a bare CR")
		}
		if c.step++; c.step != done {
			c.step = trailerStart
		}
	}
	return nil
}

func (c *body) inName(b byte) *Error {
	switch {
	case b == ':' && c.named > 0:
		if c.named <= maxName && forbiddenTrailer(c.name[:c.named]) {
			return refuse(Framing, "trailer", "%s is no trailer", word(c.name[:c.named]))
		}
		c.step = trailerValue
	case !isToken[b]:
		return refuse(Framing, "trailer", "byte %#02x in a name", b)
	default:
		if c.named < maxName {
			c.name[c.named] = b
		}
		c.named++
	}
	return nil
}

// forbiddenTrailer names fields that decide how a message is read, where it
// goes or who sends it (RFC 9110 section 6.5.1): a server that merges trailers
// into the header would believe them after every check of the header. "_" and
// "." count as "-", as servers fold them.
func forbiddenTrailer(name []byte) bool {
	if len(name) > maxName {
		return false
	}
	var folded [maxName]byte
	for i, c := range name {
		if c == '_' || c == '.' {
			c = '-'
		}
		folded[i] = lower(c)
	}
	n := string(folded[:len(name)])
	const forwarded = "x-forwarded-"
	if len(n) >= len(forwarded) && n[:len(forwarded)] == forwarded {
		return true
	}
	switch n {
	case "content-length", "transfer-encoding", "trailer", "te", "upgrade", "connection", "keep-alive",
		"proxy-connection", "host", "content-type", "content-encoding", "content-range",
		"authorization", "proxy-authorization", "cookie", "set-cookie", "www-authenticate",
		"expect", "range", "max-forwards", "cache-control", "if-match", "if-none-match",
		"if-modified-since", "if-unmodified-since", "if-range",
		"origin", "referer", "forwarded", "x-real-ip", "x-http-method-override", "--proto--":
		return true
	}
	return false
}
