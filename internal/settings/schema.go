package settings

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Patterns of the texts that have a unit. An editor that knows them marks a
// bare number before Decode does.
const (
	durationPattern = `^([0-9]+d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$`
	datePattern     = `^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2}))?$`
)

// patterned is a type that knows the form of its text.
type patterned interface{ Pattern() string }

// Schema describes the file that Decode reads into root, a struct or a pointer
// to one, as JSON Schema 2020-12, for editors. docs explains keys by their path
// without indices, "csrf.trusted_origins".
//
// A section that stands in several places is described once, under the
// shortest path that leads to it.
func Schema(root any, docs map[string]string) ([]byte, error) {
	t := reflect.TypeOf(root)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("schema: want a struct, got %T", root)
	}
	s := &schema{docs: docs, defs: map[string]any{}, paths: map[reflect.Type]string{}}
	s.queue = []section{{t, ""}}
	s.paths[t] = ""
	var top map[string]any
	for len(s.queue) > 0 {
		next := s.queue[0]
		s.queue = s.queue[1:]
		if described := s.object(next); top == nil {
			top = described
		} else {
			s.defs[next.path] = described
		}
	}
	top["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	top["title"] = "hauberk.yaml"
	if len(s.defs) > 0 {
		top["$defs"] = s.defs
	}
	text, err := json.MarshalIndent(top, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return append(text, '\n'), nil
}

// schema describes breadth first, so that the first path to a section is its
// shortest.
type schema struct {
	docs  map[string]string
	defs  map[string]any
	paths map[reflect.Type]string
	queue []section
}

type section struct {
	typ  reflect.Type
	path string
}

func (s *schema) object(at section) map[string]any {
	properties := map[string]any{}
	for _, f := range fieldsOf(at.typ) {
		path := join(at.path, f.key)
		described := s.value(f.typ, f, path)
		if doc := s.docs[path]; doc != "" {
			described["description"] = doc
		}
		properties[f.key] = described
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

// value describes a value of type t at path.
func (s *schema) value(t reflect.Type, f field, path string) map[string]any {
	switch {
	case t.Kind() == reflect.Pointer:
		return s.value(t.Elem(), f, path)
	case t == reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "string", "pattern": durationPattern}
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "pattern": datePattern}
	case readsText(t) && reflect.PointerTo(t).Implements(reflect.TypeFor[patterned]()):
		form := reflect.New(t).Interface().(patterned).Pattern()
		return map[string]any{"type": "string", "pattern": form}
	case readsText(t):
		return map[string]any{"type": []string{"string", "number"}}
	}
	switch t.Kind() {
	case reflect.Struct:
		return s.section(t, path)
	case reflect.Slice:
		return s.list(t, f, path)
	case reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": s.value(t.Elem(), f, path)}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return text(f)
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	}
	if f.least > 0 {
		return map[string]any{"type": "integer", "minimum": f.least}
	}
	return map[string]any{"type": "integer"}
}

func text(f field) map[string]any {
	if f.enum != nil {
		return map[string]any{"enum": f.enum}
	}
	return map[string]any{"type": []string{"string", "number"}}
}

// list describes a list; of scalars, one stands for a list of one.
func (s *schema) list(t reflect.Type, f field, path string) map[string]any {
	item := s.value(t.Elem(), f, path)
	many := map[string]any{"type": []string{"array", "null"}, "items": item}
	if t.Elem().Kind() == reflect.Struct && !readsText(t.Elem()) {
		return many
	}
	return map[string]any{"anyOf": []any{many, item}}
}

// section refers to the description of a struct, and allows a scalar or a list
// where it has a field for one.
func (s *schema) section(t reflect.Type, path string) map[string]any {
	name, known := s.paths[t]
	if !known {
		name = strings.ReplaceAll(path, "/", ".")
		s.paths[t] = name
		s.queue = append(s.queue, section{t, name})
	}
	ref := "#/$defs/" + name
	if name == "" {
		ref = "#"
	}
	choices := []any{map[string]any{"$ref": ref}, map[string]any{"type": "null"}}
	if f, ok := mainField(t); ok {
		choices = append(choices, s.value(f.typ, f, join(path, f.key)))
	}
	if f, ok := listField(t); ok && f.list {
		choices = append(choices, s.value(f.typ, f, join(path, f.key)))
	}
	return map[string]any{"anyOf": choices}
}
