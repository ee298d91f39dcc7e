package settings_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"hauberk.dev/internal/settings"
)

// door has a field for a scalar in its place and another for a list.
type door struct {
	By    string `yaml:"by" main:"true" enum:"app"`
	Rules []rule `yaml:"rules" list:"true"`
}

type rule struct {
	On    string   `yaml:"on"`
	Allow []string `yaml:"allow"`
}

type doors struct {
	Door  door   `yaml:"door"`
	Doors []door `yaml:"doors"`
}

func TestAListStandsInPlaceOfTheStructThatSaysSo(t *testing.T) {
	for _, c := range []struct {
		src   string
		by    string
		rules []string
		wrong string
	}{
		{"door: app\n", "app", nil, ""},
		{"door:\n  - on: /a\n    allow: [x, y]\n  - on: /b\n", "", []string{"/a", "/b"}, ""},
		{"door: {rules: [{on: /a}]}\n", "", []string{"/a"}, ""},
		{"door: []\n", "", nil, ""},
		{"door: rules\n", "", nil, `c.yaml:1:7: door: "rules" is not one of its values`},
		{"door:\n  - on: /a\n    alow: x\n", "", nil, "c.yaml:3:5: door[0].alow: unknown key (did you mean allow?)"},
		{"door:\n  - everyone\n", "", nil, "c.yaml:2:5: door[0]: want keys and values"},
		{"door: {rule: [{on: /a}]}\n", "", nil, "c.yaml:1:8: door.rule: unknown key (did you mean rules?)"},
	} {
		var got doors
		_, err := settings.Decode("c.yaml", []byte(c.src), &got)
		if c.wrong != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.wrong) {
				t.Errorf("%q: got %v, want %s", c.src, err, c.wrong)
			}
			continue
		}
		var on []string
		for _, r := range got.Door.Rules {
			on = append(on, r.On)
		}
		if err != nil || got.Door.By != c.by || !slices.Equal(on, c.rules) {
			t.Errorf("%q: got %+v, %v, want by %q and rules %v", c.src, got.Door, err, c.by, c.rules)
		}
	}
}

func TestAMistakeInAListInPlaceOfAStructIsPlacedByBothNames(t *testing.T) {
	var got doors
	doc, err := settings.Decode("c.yaml", []byte("doors:\n  - - on: /a\n    - on: /b\n      allow: [x, z]\n"), &got)
	if err != nil {
		t.Fatal(err)
	}
	where := doc.Locate(errors.New("doors[0].rules[1].allow[1]: \"z\" is not known"))
	if len(where) != 1 || where[0].Line != 4 || where[0].Column != 18 {
		t.Errorf("got %v, want 4:18", where)
	}
}

func TestTheSchemaAllowsAListInPlaceOfAStructThatSaysSo(t *testing.T) {
	text, err := settings.Schema(&doors{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]struct {
			AnyOf []struct {
				Type any
				Enum []string
			}
		}
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	choices := s.Properties["door"].AnyOf
	if len(choices) != 4 || !slices.Equal(choices[2].Enum, []string{"app"}) || choices[3].Type == nil {
		t.Errorf("got %+v, want the struct, nothing, the word and the list", choices)
	}
}
