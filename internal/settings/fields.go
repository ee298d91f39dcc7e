package settings

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is a key of a struct; those of an inlined struct count as its own.
type field struct {
	key           string
	index         []int
	typ           reflect.Type
	main, inherit bool
	list          bool // a list in place of the struct sets it
	enum          []string
	least         int // of a number, 0 for any
}

// fieldsOf lists the keys of t in the order of the struct.
func fieldsOf(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			for _, in := range fieldsOf(f.Type) {
				in.index = append([]int{i}, in.index...)
				all = append(all, in)
			}
			continue
		}
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		one := field{key: name, index: []int{i}, typ: f.Type,
			main: f.Tag.Get("main") == "true", inherit: f.Tag.Get("inherit") == "true" && f.Type.Kind() == reflect.Pointer}
		one.list = f.Tag.Get("list") == "true"
		one.least, _ = strconv.Atoi(f.Tag.Get("min"))
		if e := f.Tag.Get("enum"); e != "" {
			one.enum = strings.Split(e, ",")
		}
		all = append(all, one)
	}
	return all
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, f.key)
	}
	return keys
}

// mainField returns the field that a scalar in place of the struct sets.
func mainField(t reflect.Type) (field, bool) {
	for _, f := range fieldsOf(t) {
		if f.main {
			return f, true
		}
	}
	return field{}, false
}

// listField returns the field that a list in place of the struct sets: the one
// that says so, or the main one where that is a list.
func listField(t reflect.Type) (field, bool) {
	for _, f := range fieldsOf(t) {
		if f.list {
			return f, true
		}
	}
	f, ok := mainField(t)
	return f, ok && f.typ.Kind() == reflect.Slice
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

// readsText says that a value of type t reads itself from a text.
func readsText(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(textType)
}

// inherited finds the value of key in the nearest enclosing struct that has
// one, innermost last in scope.
func inherited(scope []reflect.Value, key string, t reflect.Type) (reflect.Value, bool) {
	for i := len(scope) - 1; i >= 0; i-- {
		for _, f := range fieldsOf(scope[i].Type()) {
			if f.key != key {
				continue
			}
			v := scope[i].FieldByIndex(f.index)
			if v.Kind() == reflect.Pointer {
				v = v.Elem()
			}
			if v.IsValid() && v.Type() == t {
				return v, true
			}
		}
	}
	return reflect.Value{}, false
}

// Keys lists the path of every key that Decode takes into root, without
// indices: "sites.routes.on".
func Keys(root any) []string {
	t := reflect.TypeOf(root)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return appendKeys(nil, "", t)
}

func appendKeys(keys []string, path string, t reflect.Type) []string {
	for _, f := range fieldsOf(t) {
		p := join(path, f.key)
		keys = append(keys, p)
		in := f.typ
		for in.Kind() == reflect.Pointer || in.Kind() == reflect.Slice {
			in = in.Elem()
		}
		if in.Kind() == reflect.Struct && in != reflect.TypeFor[time.Time]() && !readsText(in) {
			keys = appendKeys(keys, p, in)
		}
	}
	return keys
}
