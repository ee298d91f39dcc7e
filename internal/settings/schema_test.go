package settings_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"hauberk.dev/internal/settings"
)

func TestTheSchemaKnowsEveryKeyAndNoOther(t *testing.T) {
	text, err := settings.Schema(&config{}, map[string]string{"headers.profile": "strict, compat or api"})
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Schema     string `json:"$schema"`
		Additional *bool  `json:"additionalProperties"`
		Properties map[string]any
		Defs       map[string]struct {
			Additional *bool `json:"additionalProperties"`
			Properties map[string]struct {
				Description, Pattern string
				Enum                 []string
				Minimum              int
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	if s.Schema != "https://json-schema.org/draft/2020-12/schema" || s.Additional == nil || *s.Additional || len(s.Properties) != 7 {
		t.Errorf("got %s", text)
	}
	h, l := s.Defs["headers"], s.Defs["headers.limits"]
	if got := l.Properties["depth"].Minimum; got != 1 {
		t.Errorf("depth: got the minimum %d, want 1", got)
	}
	if h.Additional == nil || *h.Additional || len(h.Properties["profile"].Enum) != 3 || h.Properties["profile"].Description == "" {
		t.Errorf("headers: got %+v", h)
	}
	for key, values := range map[string]map[string]bool{
		"idle": {"5s": true, "1d12h": true, "1h30m": true, "14d": true, "5": false, "soon": false},
		"head": {"16KiB": true, "512B": true, "16": false, "1TB": false},
	} {
		p := regexp.MustCompile(l.Properties[key].Pattern)
		for v, want := range values {
			if got := p.MatchString(v); got != want {
				t.Errorf("%s: %q matches %v, want %v", key, v, got, want)
			}
		}
	}
}

func TestASchemaOfSomethingElseIsAnError(t *testing.T) {
	for _, root := range []any{nil, 5, new(string)} {
		if _, err := settings.Schema(root, nil); err == nil {
			t.Errorf("%T: got no error", root)
		}
	}
}
