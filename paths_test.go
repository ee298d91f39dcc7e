package hauberk_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hauberk.dev"
)

const emptyLock = `{"version":1,"site":"http://localhost","sources":{},"scripts":[]}`

// TestFilesAreSoughtFromTheFolderOfTheConfig starts in another folder, as a
// service does.
func TestFilesAreSoughtFromTheFolderOfTheConfig(t *testing.T) {
	top := t.TempDir()
	for _, folder := range []string{"etc", "elsewhere"} {
		if err := os.Mkdir(filepath.Join(top, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"hauberk.csp.lock", "shop.lock"} {
		if err := os.WriteFile(filepath.Join(top, "etc", name), []byte(emptyLock), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Join(top, "elsewhere"))
	file := filepath.Join("..", "etc", "hauberk.yaml")
	for _, row := range []struct{ config, missing string }{
		{"headers: learned\n", ""},
		{"headers: {profile: learned, lock: shop.lock}\n", ""},
		{"headers: {profile: learned, lock: ../etc/shop.lock}\n", ""},
		{"headers: {lock: shop.lock}\nsites: [{access: app, headers: learned, routes: [{on: /a, headers: learned}]}]\n", ""},
		{"sites: [{access: app, routes: [{on: /a, headers: {profile: learned, lock: shop.lock}}]}]\n", ""},
		{"headers: {profile: learned, lock: " + filepath.Join(top, "etc", "shop.lock") + "}\n", ""},
		{"headers: {profile: learned, lock: none.lock}\n", "etc/none.lock"},
		{"sites: [{access: app, routes: [{on: /a, headers: {profile: learned, lock: b/none.lock}}]}]\n", "etc/b/none.lock"},
		{"https: {certificates: [{cert: a.pem, key: keys/a.pem}]}\nsites: [{access: app, https: {port: 443}}]\n", "etc/a.pem"},
		{"https: {acme: {agreed: true, authorities: [{directory: https://ca.example/d, roots: roots.pem}]}}\nsites: [{access: app, hosts: [shop.example.com]}]\n", "etc/roots.pem"},
	} {
		if !strings.Contains(row.config, "sites:") {
			row.config += "sites: [{access: app}]\n"
		}
		c, _, err := hauberk.Parse(file, []byte(row.config))
		if err != nil {
			t.Fatalf("%s: %v", row.config, err)
		}
		c.State = filepath.Join(top, "state")
		_, err = hauberk.New(c, nil)
		switch {
		case row.missing == "" && err != nil:
			t.Errorf("%s: got %v", row.config, err)
		case row.missing != "" && (err == nil || !strings.Contains(err.Error(), filepath.Join(top, row.missing))):
			t.Errorf("%s: got %v, want %s missed", row.config, err, filepath.Join(top, row.missing))
		}
	}
}
