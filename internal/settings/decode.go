package settings

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// reader gathers the mistakes of one file.
type reader struct {
	file  string
	doc   *Doc
	wrong Mistakes
}

// enough bounds a report: who sees a hundred mistakes has the wrong file.
const enough = 100

func (r *reader) fail(line, column int, path, message, hint string) {
	if len(r.wrong) < enough {
		r.wrong = append(r.wrong, Mistake{r.file, line, column, path, message, hint})
	}
}

func (r *reader) failAt(n *node, path, message, hint string) {
	r.fail(n.line, n.column, path, message, hint)
}

func (r *reader) decodeRoot(n *node, v reflect.Value) {
	switch n.kind {
	case null:
	case mapping:
		r.decodeStruct(n, v, "", nil)
	default:
		r.failAt(n, "", "want keys and values", "")
	}
}

// decode sets v, which is settable, from n. scope holds the enclosing structs.
func (r *reader) decode(n *node, v reflect.Value, f field, path string, scope []reflect.Value) {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		r.decodePointer(n, v, f, path, scope)
	case t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[time.Duration](), readsText(t):
		r.decodeScalar(n, v, f, path)
	case t.Kind() == reflect.Struct:
		r.decodeSection(n, v, path, scope)
	case t.Kind() == reflect.Slice:
		r.decodeList(n, v, f, path, scope)
	case t.Kind() == reflect.Map:
		r.decodeMap(n, v, f, path, scope)
	default:
		r.decodeScalar(n, v, f, path)
	}
}

// decodePointer makes a new value, so that what v pointed to stays as it was.
func (r *reader) decodePointer(n *node, v reflect.Value, f field, path string, scope []reflect.Value) {
	fresh := reflect.New(v.Type().Elem())
	if !v.IsNil() {
		fresh.Elem().Set(v.Elem())
	} else if f.inherit && len(scope) > 0 {
		if from, ok := inherited(scope[:len(scope)-1], f.key, v.Type().Elem()); ok {
			fresh.Elem().Set(from)
		}
	}
	r.decode(n, fresh.Elem(), f, path, scope)
	v.Set(fresh)
}

// decodeSection sets a struct from a map, or one of its fields from what stands
// in its place: a scalar or a list.
func (r *reader) decodeSection(n *node, v reflect.Value, path string, scope []reflect.Value) {
	switch n.kind {
	case null:
	case mapping:
		r.decodeStruct(n, v, path, scope)
	default:
		of := mainField
		if n.kind == list {
			of = listField
		}
		f, ok := of(v.Type())
		if !ok {
			r.failAt(n, path, "want keys and values, got "+describe(n), "keys: "+strings.Join(keysOf(v.Type()), ", "))
			return
		}
		if n.kind == list {
			// Whoever checks the values later names the key that was left out.
			r.doc.record(join(path, f.key), n)
		}
		settle(v, map[string]*node{f.key: n})
		r.decode(n, v.FieldByIndex(f.index), f, path, append(scope, v))
	}
}

func (r *reader) decodeStruct(n *node, v reflect.Value, path string, scope []reflect.Value) {
	written := map[string]*node{}
	fields := fieldsOf(v.Type())
	for _, e := range n.entries {
		p := join(path, e.key)
		if _, doubled := written[e.key]; doubled {
			r.fail(e.line, e.column, p, "is written twice", "")
			continue
		}
		written[e.key] = e.value
		if !hasKey(fields, e.key) {
			r.fail(e.line, e.column, p, "unknown key", r.unknown(e.key, v.Type()))
		}
	}
	settle(v, written)
	inner := append(scope[:len(scope):len(scope)], v)
	for _, f := range fields {
		if w, ok := written[f.key]; ok {
			r.decode(w, v.FieldByIndex(f.index), f, join(path, f.key), inner)
		}
	}
}

// settler is a struct in which some keys stand in place of others. Settle is
// called on what the struct starts with, before the keys that are written are
// set: what they stand in place of must give way, or a key of this level would
// meet another level's as if both had been written here.
type settler interface {
	Settle(written func(key string) bool)
}

func settle(v reflect.Value, written map[string]*node) {
	if s, ok := v.Addr().Interface().(settler); ok {
		s.Settle(func(key string) bool {
			_, ok := written[key]
			return ok
		})
	}
}

func hasKey(fields []field, key string) bool {
	for _, f := range fields {
		if f.key == key {
			return true
		}
	}
	return false
}

// unknown says which key was meant: one that is near, or one of the same name
// a level further in.
func (r *reader) unknown(key string, t reflect.Type) string {
	if near, ok := Nearest(key, keysOf(t)); ok {
		return "did you mean " + near + "?"
	}
	for _, f := range fieldsOf(t) {
		in := f.typ
		if in.Kind() == reflect.Pointer {
			in = in.Elem()
		}
		if in.Kind() == reflect.Struct && hasKey(fieldsOf(in), key) {
			return "did you mean " + f.key + "." + key + "?"
		}
	}
	return "known keys: " + strings.Join(keysOf(t), ", ")
}

// decodeList replaces a list. A scalar is a list of one.
func (r *reader) decodeList(n *node, v reflect.Value, f field, path string, scope []reflect.Value) {
	items := n.items
	switch {
	case n.kind == null:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		return
	case n.kind == scalar && v.Type().Elem().Kind() != reflect.Struct, n.kind == scalar && readsText(v.Type().Elem()):
		items = []*node{n}
	case n.kind != list:
		r.failAt(n, path, "want a list, got "+describe(n), "")
		return
	}
	fresh := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		r.decode(item, fresh.Index(i), f, fmt.Sprintf("%s[%d]", path, i), scope)
	}
	v.Set(fresh)
}

// decodeMap replaces a map with text keys.
func (r *reader) decodeMap(n *node, v reflect.Value, f field, path string, scope []reflect.Value) {
	if n.kind != mapping && n.kind != null {
		r.failAt(n, path, "want keys and values, got "+describe(n), "")
		return
	}
	fresh := reflect.MakeMap(v.Type())
	for _, e := range n.entries {
		key := reflect.ValueOf(e.key).Convert(v.Type().Key())
		if fresh.MapIndex(key).IsValid() {
			r.fail(e.line, e.column, join(path, e.key), "is written twice", "")
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		r.decode(e.value, value, f, join(path, e.key), scope)
		fresh.SetMapIndex(key, value)
	}
	v.Set(fresh)
}

// decodeScalar sets a single value.
func (r *reader) decodeScalar(n *node, v reflect.Value, f field, path string) {
	if n.kind == null {
		r.failAt(n, path, "has no value", "write one, or leave the key out")
		return
	}
	if n.kind != scalar {
		r.failAt(n, path, "want "+wanted(v.Type())+", got "+describe(n), "")
		return
	}
	var err error
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok && v.Type() != reflect.TypeFor[time.Time]() {
		err = u.UnmarshalText([]byte(n.text))
	} else {
		err = setScalar(n, v, f)
	}
	if err == nil && isLimit(v.Type(), f) && v.IsZero() {
		err = hinted{fmt.Sprintf("%q is no limit", n.text), "leave the key out for the default"}
	}
	if err != nil {
		message, hint := err.Error(), ""
		if h, ok := err.(hinted); ok {
			message, hint = h.message, h.hint
		}
		r.failAt(n, path, message, hint)
	}
}

// isLimit says that zero stands for a default in a value of type t: durations,
// sizes, and numbers that say so by `min`.
func isLimit(t reflect.Type, f field) bool {
	return t == reflect.TypeFor[time.Duration]() || readsText(t) && t.Kind() == reflect.Int64 || f.least > 0
}
