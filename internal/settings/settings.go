// Package settings reads a configuration file and names every mistake in it at
// once, each with its line and column.
//
// It is stricter than YAML on purpose. A key that nobody reads is a protection
// that the operator believes in and does not have, so an unknown, doubled or
// misspelt key is a mistake, never ignored. Anchors, aliases, merge keys and
// tags are refused: they let a small file grow without bound, and they make a
// reader guess what holds where.
package settings

import (
	"fmt"
	"reflect"
	"strings"
)

// MaxSize is the largest file that Decode reads, in bytes.
const MaxSize = 1 << 20

// Doc remembers where in a file each value was written.
type Doc struct {
	file   string
	places map[string]place
}

type place struct{ line, column int }

// Decode reads src, which was read from file, into the struct to which into
// points. The error is of type Mistakes and holds all of them. The Doc is never
// nil: places are known as far as src could be read.
//
// Fields are matched by their yaml tags and set in the order of the struct, not
// of the file. Besides yaml:"name" and yaml:",inline" these tags have a meaning:
//
//   - main:"true": a scalar in place of the struct sets this field, and a list
//     does where the field is one;
//   - list:"true": a list in place of the struct sets this field;
//   - enum:"a,b": the values that a string may have;
//   - min:"1": what a number is at least, and that its zero stands for a
//     default; a duration or a size of zero is a mistake too;
//   - inherit:"true" on a pointer: where the key is written, the value starts as
//     a copy of the one with the same key in the nearest enclosing struct that
//     has one; where it is not written, the pointer stays nil.
//
// Lists and maps replace what was there; structs are merged. A struct in which
// some keys stand in place of others has a method Settle, see settler.
func Decode(file string, src []byte, into any) (*Doc, error) {
	d := &Doc{file: file, places: map[string]place{"": {1, 1}}}
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		return d, fmt.Errorf("decode %s: want a pointer to a struct, got %T", file, into)
	}
	root, wrong := parse(file, src)
	if wrong == nil && root != nil {
		d.record("", root)
		r := &reader{file: file, doc: d}
		r.decodeRoot(root, target.Elem())
		wrong = r.wrong
	}
	if len(wrong) > 0 {
		wrong.sort()
		return d, wrong
	}
	return d, nil
}

// Place returns where the value of a path like "sites[0].to" was written, or
// its nearest enclosing value that was; line 1, column 1 where nothing was.
func (d *Doc) Place(path string) (line, column int) {
	for {
		if p, ok := d.places[path]; ok {
			return p.line, p.column
		}
		path = parent(path)
	}
}

// parent cuts the last key or index off a path.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// record notes the place of n and of all in it.
func (d *Doc) record(path string, n *node) {
	for _, e := range n.entries {
		p := join(path, e.key)
		if _, doubled := d.places[p]; doubled {
			continue
		}
		d.places[p] = place{e.line, e.column}
		if e.value.kind == scalar {
			d.places[p] = place{e.value.line, e.value.column}
		}
		d.record(p, e.value)
	}
	for i, item := range n.items {
		p := fmt.Sprintf("%s[%d]", path, i)
		d.places[p] = place{item.line, item.column}
		d.record(p, item)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
