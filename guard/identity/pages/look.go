package pages

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"math"
	"strconv"
	"strings"
)

// The papers that text stands on, and the colours of the marks where nobody
// chose others. style.css has the same values.
const (
	paper, card         = "#f5f6f8", "#ffffff"
	paperDark, cardDark = "#14181f", "#1d232d"
	mark, markDark      = "#1d4f91", "#8fb8f2"
)

// least is the contrast of WCAG 2.2, 1.4.3 (AA).
const least = 4.5

// paint returns the style with the colours of the operator.
func paint(light, dark string) (string, error) {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return "", err
	}
	if light == "" {
		light = mark
	}
	if dark == "" {
		dark = markDark
	}
	err = errors.Join(legible("accent", light, paper, card), legible("accent_dark", dark, paperDark, cardDark))
	text := strings.Replace(string(style), "--mark:"+mark, "--mark:"+light, 1)
	return strings.Replace(text, "--mark:"+markDark, "--mark:"+dark, 1), err
}

// legible says whether a colour can be read on both papers. Buttons have the
// paper's colour on it, so it is the same figure there.
func legible(key, color string, on ...string) error {
	c, err := luminance(color)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	for _, p := range on {
		bg, err := luminance(p)
		if err != nil {
			return err
		}
		if got := contrast(c, bg); got < least {
			return fmt.Errorf("%s: %s on %s has a contrast of %.2f to 1: at least %.1f can be read", key, color, p, got, least)
		}
	}
	return nil
}

func contrast(a, b float64) float64 {
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(color string) (float64, error) {
	if len(color) != 7 || color[0] != '#' {
		return 0, fmt.Errorf("%q is not a colour such as \"#1d4f91\"", color)
	}
	rgb, err := strconv.ParseUint(color[1:], 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a colour such as \"#1d4f91\"", color)
	}
	linear := func(v uint64) float64 {
		c := float64(v&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(rgb>>16) + 0.7152*linear(rgb>>8) + 0.0722*linear(rgb), nil
}

// Logo is the operator's picture, with the type and the policy that it is
// served with.
type Logo struct {
	Type string
	Data []byte
}

// LogoCSP is the policy of the logo by itself: an SVG that somebody opens as a
// page may have styles, and nothing else of a page.
const LogoCSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"

// readLogo takes a PNG or an SVG, told by what it is and not by its name.
func readLogo(data []byte) (*Logo, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if len(data) > MaxLogo {
		return nil, fmt.Errorf("%d bytes: at most %d", len(data), MaxLogo)
	}
	if bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")) {
		c, err := png.DecodeConfig(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("not a PNG that can be read: %w", err)
		}
		if c.Width > 2048 || c.Height > 2048 {
			return nil, fmt.Errorf("%d by %d pixels: at most 2048 by 2048", c.Width, c.Height)
		}
		return &Logo{"image/png", data}, nil
	}
	if err := drawing(data); err != nil {
		return nil, fmt.Errorf("neither a PNG nor an SVG that can be served: %w", err)
	}
	return &Logo{"image/svg+xml", data}, nil
}

// drawing refuses an SVG that is more than a drawing. A browser runs nothing
// of it where it stands as a picture; this keeps it so where it does not.
func drawing(data []byte) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	root := ""
	for {
		t, err := d.Token()
		if err != nil {
			if root == "svg" && err.Error() == "EOF" {
				return nil
			}
			return fmt.Errorf("not an SVG: %w", err)
		}
		switch e := t.(type) {
		case xml.Directive:
			if bytes.Contains(e, []byte("ENTITY")) {
				return errors.New("it declares entities")
			}
		case xml.StartElement:
			name := strings.ToLower(e.Name.Local)
			if root == "" {
				root = name
			}
			if name == "script" || name == "foreignobject" || name == "iframe" {
				return fmt.Errorf("it has a <%s>", e.Name.Local)
			}
			for _, a := range e.Attr {
				if err := still(a); err != nil {
					return err
				}
			}
		}
	}
}

func still(a xml.Attr) error {
	name := strings.ToLower(a.Name.Local)
	if strings.HasPrefix(name, "on") {
		return fmt.Errorf("it has the attribute %q", a.Name.Local)
	}
	if name == "href" && !strings.HasPrefix(a.Value, "#") && !strings.HasPrefix(a.Value, "data:image/png;") {
		return fmt.Errorf("it refers to %.60q", a.Value)
	}
	return nil
}
