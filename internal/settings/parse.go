package settings

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

type kind int

const (
	null kind = iota
	scalar
	list
	mapping
)

// node is a value of the file, with all that the library adds taken away.
type node struct {
	kind         kind
	line, column int
	// text is a scalar as written, without its quotes; is says what YAML takes
	// it for: "text", "number", "boolean".
	text, is string
	items    []*node
	entries  []entry
}

type entry struct {
	key          string
	line, column int
	value        *node
}

// maxDepth and maxColumn bound how deep the parser, which is recursive, goes;
// maxTokens how long it works, since its time grows with their square.
const (
	maxDepth  = 64
	maxColumn = 256
	maxTokens = 50_000
)

// parse returns the one document of src, nil for an empty one.
func parse(file string, src []byte) (n *node, wrong Mistakes) {
	p := &reader{file: file}
	if len(src) > MaxSize {
		p.fail(0, 0, "", fmt.Sprintf("is larger than %d bytes", MaxSize), "")
		return nil, p.wrong
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	if line, column, ok := badCharacter(src); ok {
		p.fail(line, column, "", "holds a control character or is not UTF-8", "")
		return nil, p.wrong
	}
	defer func() {
		// The library panics on a few malformed files; for the operator that is
		// a file which is not YAML, like any other.
		if v := recover(); v != nil {
			n, wrong = nil, Mistakes{{File: file, Message: "is not well-formed YAML"}}
		}
	}()
	tokens := lexer.Tokenize(string(src))
	if p.refuse(tokens); p.wrong != nil {
		return nil, p.wrong
	}
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		p.syntax(err)
		return nil, p.wrong
	}
	return p.one(tree), p.wrong
}

// one converts the only document of a file.
func (r *reader) one(tree *ast.File) *node {
	var found *node
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if t := doc.Body.GetToken(); found != nil {
			r.fail(t.Position.Line, t.Position.Column, "", "a second document starts here", "one file holds one document")
			return nil
		}
		found = r.convert(doc.Body)
	}
	return found
}

// syntax reports an error of the parser, of which there is only one a file.
func (r *reader) syntax(err error) {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		r.fail(0, 0, "", "is not well-formed YAML", "")
		return
	}
	at := e.GetToken().Position
	r.fail(at.Line, at.Column, "", "is not well-formed YAML: "+e.GetMessage(), "")
}

// badCharacter finds the first byte that is not UTF-8 or the first control
// character that YAML 1.2 (section 5.1) does not allow.
func badCharacter(src []byte) (line, column int, found bool) {
	line, column = 1, 1
	for i := 0; i < len(src); {
		c, size := utf8.DecodeRune(src[i:])
		switch {
		case c == utf8.RuneError && size == 1, c == 0x7f,
			c < 0x20 && c != '\t' && c != '\n' && c != '\r', c >= 0x80 && c < 0xa0 && c != 0x85:
			return line, column, true
		case c == '\n':
			line, column = line+1, 0
		}
		column++
		i += size
	}
	return 0, 0, false
}

// refuse reports what Hauberk does not take from YAML, before the parser, which
// would resolve or recurse into it, sees it.
func (r *reader) refuse(tokens token.Tokens) {
	if len(tokens) > maxTokens {
		r.fail(0, 0, "", "holds too many values", "")
		return
	}
	depth := 0
	for _, t := range tokens {
		at := t.Position
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			r.fail(at.Line, at.Column, "", "anchors, aliases and merge keys are not allowed", "write the value again, or quote the text")
		case token.TagType:
			r.fail(at.Line, at.Column, "", "tags are not allowed", "quote a text that starts with !")
		case token.DirectiveType:
			r.fail(at.Line, at.Column, "", "directives are not allowed", "")
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		structural := t.Type == token.SequenceEntryType || t.Type == token.MappingKeyType || t.Type == token.MappingValueType
		if depth > maxDepth || structural && at.IndentNum > maxColumn || t.Type == token.SequenceEntryType && at.Column > maxColumn {
			r.fail(at.Line, at.Column, "", "is nested too deeply", "")
			return
		}
	}
}

// convert takes a value over from the library's tree.
func (r *reader) convert(n ast.Node) *node {
	out := &node{}
	if t := n.GetToken(); t != nil && t.Position != nil {
		out.line, out.column = t.Position.Line, t.Position.Column
	}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		out.kind, out.is, out.text = scalar, "boolean", n.Token.Value
	case *ast.IntegerNode:
		out.kind, out.is, out.text = scalar, "number", n.Token.Value
	case *ast.FloatNode:
		out.kind, out.is, out.text = scalar, "number", n.Token.Value
	case *ast.InfinityNode:
		out.kind, out.is, out.text = scalar, "number", n.Token.Value
	case *ast.NanNode:
		out.kind, out.is, out.text = scalar, "number", n.Token.Value
	case *ast.StringNode:
		out.kind, out.is, out.text = scalar, "text", n.Value
	case *ast.LiteralNode:
		out.kind, out.is, out.text = scalar, "text", n.Value.Value
	case *ast.SequenceNode:
		out.kind = list
		for _, v := range n.Values {
			out.items = append(out.items, r.convert(v))
		}
	case *ast.MappingNode:
		out.kind = mapping
		for _, v := range n.Values {
			out.entries = append(out.entries, r.entry(v))
		}
		out.start()
	case *ast.MappingValueNode:
		out.kind, out.entries = mapping, []entry{r.entry(n)}
		out.start()
	default:
		r.fail(out.line, out.column, "", "this form of YAML is not allowed", "")
	}
	return out
}

// start moves a mapping to its first key: the library places it at a colon.
func (n *node) start() {
	if len(n.entries) > 0 {
		n.line, n.column = n.entries[0].line, n.entries[0].column
	}
}

func (r *reader) entry(n *ast.MappingValueNode) entry {
	e := entry{value: r.convert(n.Value)}
	if t := n.Key.GetToken(); t != nil && t.Position != nil {
		e.line, e.column = t.Position.Line, t.Position.Column
	}
	switch k := n.Key.(type) {
	case *ast.StringNode:
		e.key = k.Value
	case *ast.IntegerNode:
		e.key = k.Token.Value
	case *ast.BoolNode:
		e.key = k.Token.Value
	default:
		r.fail(e.line, e.column, "", "a key must be a plain word", "")
	}
	if e.value.line == 0 || e.value.kind == null {
		e.value.line, e.value.column = e.line, e.column
	}
	return e
}
