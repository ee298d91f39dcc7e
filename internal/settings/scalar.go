package settings

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hinted is an error that also says what would be right.
type hinted struct{ message, hint string }

func (h hinted) Error() string { return h.message + " (" + h.hint + ")" }

// describe says in a word what was written.
func describe(n *node) string {
	switch n.kind {
	case list:
		return "a list"
	case mapping:
		return "keys and values"
	case null:
		return "nothing"
	}
	return fmt.Sprintf("%s %q", n.is, n.text)
}

// wanted says in a word what a value of type t is.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration like 30s"
	case t == reflect.TypeFor[time.Time]():
		return "a date like 2027-01-31"
	case readsText(t), t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a number"
}

func setScalar(n *node, v reflect.Value, f field) error {
	switch v.Interface().(type) {
	case time.Duration:
		d, err := ParseDuration(n.text)
		v.SetInt(int64(d))
		return err
	case time.Time:
		t, err := parseTime(n.text)
		v.Set(reflect.ValueOf(t))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		return setText(n, v, f)
	case reflect.Bool:
		if n.is != "boolean" {
			return hinted{"want true or false, got " + describe(n), "true or false, without quotes"}
		}
		v.SetBool(strings.EqualFold(n.text, "true"))
		return nil
	default:
		return setNumber(n, v)
	}
}

// setText takes a number as it was written, so that `to: 3000` needs no
// quotes, but no boolean: whoever wrote one meant something else.
func setText(n *node, v reflect.Value, f field) error {
	if n.is == "boolean" {
		return hinted{"want text, got " + describe(n), "quote it if it is text"}
	}
	if f.enum != nil && n.text != "" && !slices.Contains(f.enum, n.text) {
		hint := "one of " + strings.Join(f.enum, ", ")
		if near, ok := Nearest(n.text, f.enum); ok {
			hint = "did you mean " + near + "?"
		}
		return hinted{fmt.Sprintf("%q is not one of its values", n.text), hint}
	}
	v.SetString(n.text)
	return nil
}

// setNumber takes decimal numbers only: what 010 means depends on the reader.
func setNumber(n *node, v reflect.Value) error {
	t := v.Type()
	digits := strings.TrimPrefix(n.text, "-")
	if n.is != "number" || len(digits) > 1 && digits[0] == '0' && digits[1] != '.' {
		return hinted{"want a number, got " + describe(n), "decimal digits, without quotes or unit"}
	}
	var err error
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var i int64
		i, err = strconv.ParseInt(n.text, 10, t.Bits())
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var u uint64
		u, err = strconv.ParseUint(n.text, 10, t.Bits())
		v.SetUint(u)
	case reflect.Float32, reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(n.text, t.Bits())
		if math.IsNaN(x) || math.IsInf(x, 0) {
			err = strconv.ErrRange
		}
		v.SetFloat(x)
	default:
		return fmt.Errorf("a %s cannot be configured", t)
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%s is out of range", n.text)
	case err != nil:
		return fmt.Errorf("want a whole number, got %q", n.text)
	}
	return nil
}

// ParseDuration reads "5s", "1h30m", "14d" or "1d12h". A bare number is an
// error: whether it was meant in seconds or milliseconds is a guess.
func ParseDuration(text string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, hinted{fmt.Sprintf("%q needs a unit", text), "like " + text + "s, or ms, m, h, d"}
	}
	bad := hinted{fmt.Sprintf("%q is not a duration", text), "like 500ms, 30s, 1h30m or 14d"}
	var whole time.Duration
	rest := text
	if before, after, ok := strings.Cut(text, "d"); ok {
		days, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, bad
		}
		whole, rest = time.Duration(days)*24*time.Hour, after
	}
	if rest == "" && whole >= 0 && text != "" {
		return whole, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || strings.HasPrefix(rest, "+") || d > math.MaxInt64-whole {
		return 0, bad
	}
	return whole + d, nil
}

func parseTime(text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, hinted{fmt.Sprintf("%q is not a date", text), "like 2027-01-31, or 2027-01-31T18:00:00Z"}
	}
	return t.UTC(), nil
}
