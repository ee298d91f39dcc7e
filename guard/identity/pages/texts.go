package pages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// texts are what the pages say, by key.
type texts map[string]string

// maxText bounds one text, in bytes.
const maxText = 1000

// place is where a value goes into a text: "{wait}".
var place = regexp.MustCompile(`\{[a-z]+\}`)

// language is a tag of BCP 47 as far as lang= needs it.
var language = regexp.MustCompile(`^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8}){0,4}$`)

// english reads the texts as they are without a configuration.
func english() (texts, error) {
	raw, err := files.ReadFile("en.json")
	if err != nil {
		return nil, err
	}
	return parseTexts(raw)
}

// readTexts lays a translation over the English texts. A key that does not
// exist is a mistake, and so is a text that lost a place for a value.
func readTexts(raw []byte) (texts, error) {
	en, err := english()
	if err != nil || len(raw) == 0 {
		return en, err
	}
	own, err := parseTexts(raw)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(own)) {
		was, found := en[key]
		if !found {
			errs = append(errs, fmt.Errorf("%q is not a text of any page", key))
			continue
		}
		if err := fits(key, own[key], was); err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", key, err))
		}
		en[key] = own[key]
	}
	return en, errors.Join(errs...)
}

// fits says what is wrong with a text that stands for an English one.
func fits(key, text, was string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("the text is empty")
	case len(text) > maxText:
		return fmt.Errorf("%d bytes: at most %d", len(text), maxText)
	case key == "lang" && !language.MatchString(text):
		return fmt.Errorf("%q is not a language tag such as \"de\" or \"pt-BR\"", text)
	case key == "dir" && text != "ltr" && text != "rtl":
		return fmt.Errorf("%q is neither \"ltr\" nor \"rtl\"", text)
	}
	for _, p := range place.FindAllString(was, -1) {
		if !strings.Contains(text, p) {
			return fmt.Errorf("%s is missing", p)
		}
	}
	for _, p := range place.FindAllString(text, -1) {
		if !strings.Contains(was, p) {
			return fmt.Errorf("nothing fills %s", p)
		}
	}
	return printable(text)
}

// parseTexts reads one JSON object of texts. A key that stands twice is a
// mistake: readers disagree about which one counts.
func parseTexts(raw []byte) (texts, error) {
	if len(raw) > MaxTexts {
		return nil, fmt.Errorf("%d bytes: at most %d", len(raw), MaxTexts)
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.New("not a JSON object of texts")
	}
	all := texts{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
		name := key.(string) // the decoder takes no other key in an object
		var text string
		if err := d.Decode(&text); err != nil {
			return nil, fmt.Errorf("%q: not a text: %w", name, err)
		}
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("%q stands twice", name)
		}
		all[name] = text
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if d.More() {
		return nil, errors.New("something follows the object")
	}
	return all, nil
}

// printable refuses what would not be seen: control characters, and marks that
// turn the direction of what follows (CVE-2021-42574 and its kin).
func printable(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("not UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return fmt.Errorf("has the character %U, which nobody sees", r)
		}
	}
	return nil
}

// say returns the text of a key with its places filled: name, value, name,
// value. A Problem's values come as one map. A key without a text is an error,
// so that a page never says nothing.
func (t texts) say(key string, values ...any) (string, error) {
	text, found := t[key]
	if !found {
		return "", fmt.Errorf("no text for %q", key)
	}
	pairs, err := fill(values)
	if err != nil {
		return "", fmt.Errorf("text %q: %w", key, err)
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

func fill(values []any) ([]string, error) {
	var pairs []string
	if len(values) == 1 {
		byName, ok := values[0].(map[string]string)
		if !ok {
			return nil, fmt.Errorf("a value of type %T", values[0])
		}
		for name, value := range byName {
			pairs = append(pairs, "{"+name+"}", value)
		}
		return pairs, nil
	}
	for i := 0; i+1 < len(values); i += 2 {
		pairs = append(pairs, fmt.Sprintf("{%v}", values[i]), fmt.Sprint(values[i+1]))
	}
	return pairs, nil
}

// Wait says in words how long d is, never less than it is.
func (s *Set) Wait(d time.Duration) string {
	key, n := "unit.seconds", (d+time.Second-1)/time.Second
	if n > 90 {
		key, n = "unit.minutes", (d+time.Minute-1)/time.Minute
	}
	return strings.ReplaceAll(s.texts[key], "{n}", strconv.Itoa(int(n)))
}
