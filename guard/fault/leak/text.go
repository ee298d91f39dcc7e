package leak

import "strings"

// text undresses HTML and JSON byte by byte: tags go, and those of blocks end
// the line; character references and, in JSON, escapes become what they mean.
// What does not turn out to be either is passed on as it is.
type text struct {
	emit func(byte)
	json bool

	mode byte // 0, or what pend holds the beginning of: '<', '&' or '\\'
	n    int
	pend [maxTag]byte
}

// maxTag bounds what may be held back of one tag.
const maxTag = 512

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json") || mediaType == "text/json"
}

func (t *text) write(p []byte) {
	for _, c := range p {
		t.take(c)
	}
}

func (t *text) take(c byte) {
	switch t.mode {
	case '<':
		t.tag(c)
		return
	case '&':
		t.reference(c)
		return
	case '\\':
		t.escape(c)
		return
	}
	switch {
	case c == '<' || c == '&' || c == '\\':
		t.mode, t.n = c, 0
		t.hold(c)
	case c == '\r':
		t.emit('\n')
	default:
		t.emit(c)
	}
}

func (t *text) hold(c byte) {
	t.pend[t.n] = c
	t.n++
}

// release passes on what was held, which was nothing special.
func (t *text) release() {
	held := t.n
	t.mode, t.n = 0, 0
	for _, c := range t.pend[:held] {
		if c == '\r' {
			c = '\n'
		}
		t.emit(c)
	}
}

// end passes on what the body ended in.
func (t *text) end() { t.release() }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

func (t *text) tag(c byte) {
	switch {
	case t.n == 1 && !isLetter(c) && c != '/' && c != '!':
		t.release()
		t.take(c)
	case c == '>':
		block := isBlock(t.pend[1:t.n])
		t.mode, t.n = 0, 0
		if block {
			t.emit('\n')
		}
	case c == '<':
		t.release()
		t.take(c)
	default:
		t.hold(c)
		if t.n == maxTag {
			t.release()
		}
	}
}

// isBlock says whether tag, without its brackets, ends a line of text.
func isBlock(tag []byte) bool {
	name := strings.TrimPrefix(string(tag), "/")
	for i := 0; i < len(name); i++ {
		if !isLetter(name[i]) && !isDigit(name[i]) {
			name = name[:i]
			break
		}
	}
	switch strings.ToLower(name) {
	case "a", "abbr", "b", "bdi", "big", "cite", "code", "em", "font", "i", "kbd", "mark", "s", "samp", "small", "span", "strong", "sub", "sup", "tt", "u", "var", "wbr":
		return false
	case "":
		return false
	}
	return blocks[strings.ToLower(name)]
}

// blocks are the elements that stand on lines of their own. All other names in
// angle brackets are generic parameters, <anonymous>, <init> and the like.
var blocks = map[string]bool{
	"address": true, "article": true, "aside": true, "blockquote": true, "body": true, "br": true,
	"caption": true, "dd": true, "details": true, "div": true, "dl": true, "dt": true, "footer": true,
	"form": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true, "head": true,
	"header": true, "hr": true, "html": true, "li": true, "main": true, "nav": true, "ol": true, "p": true,
	"pre": true, "script": true, "section": true, "style": true, "summary": true, "table": true, "tbody": true,
	"td": true, "textarea": true, "th": true, "thead": true, "title": true, "tr": true, "ul": true,
}

// references are the character references that error pages use.
var references = map[string]byte{
	"nbsp": ' ', "lt": '<', "gt": '>', "quot": '"', "amp": '&', "apos": '\'',
	"#39": '\'', "#039": '\'', "#x27": '\'', "#34": '"', "#x22": '"', "#47": '/', "#x2f": '/',
	"#96": '`', "#x60": '`', "#160": ' ', "#x0a": '\n', "#10": '\n', "#xa": '\n', "#58": ':', "#x3a": ':',
}

func (t *text) reference(c byte) {
	switch {
	case c == ';':
		b, ok := references[strings.ToLower(string(t.pend[1:t.n]))]
		if !ok {
			t.hold(c)
			t.release()
			return
		}
		t.mode, t.n = 0, 0
		t.emit(b)
	case !isLetter(c) && !isDigit(c) && c != '#' || t.n > 6:
		t.release()
		t.take(c)
	default:
		t.hold(c)
	}
}

func (t *text) escape(c byte) {
	if !t.json {
		// A slash is escaped by PHP's JSON, which pages carry in scripts too.
		if c == '/' {
			t.n = 0
		}
		t.release()
		t.take(c)
		return
	}
	if t.n == 1 && c != 'u' {
		t.mode, t.n = 0, 0
		switch c {
		case 'n', 'r':
			c = '\n'
		case 't', 'b', 'f':
			c = ' '
		}
		t.emit(c)
		return
	}
	t.hold(c)
	if t.n < len(`\u0000`) {
		return
	}
	b, ok := hex4(t.pend[2:t.n])
	if !ok {
		t.release()
		return
	}
	t.mode, t.n = 0, 0
	t.emit(b)
}

// hex4 reads the four digits of \u0000; what is no ASCII becomes "?".
func hex4(digits []byte) (byte, bool) {
	v := 0
	for _, d := range digits {
		switch {
		case isDigit(d):
			v = v<<4 | int(d-'0')
		case 'a' <= d|0x20 && d|0x20 <= 'f':
			v = v<<4 | int(d|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	if v >= 0x80 {
		return '?', true
	}
	return byte(v), true
}
