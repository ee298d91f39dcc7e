package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"hauberk.dev/guard"
	"hauberk.dev/internal/disk"
)

// JWKS answers with the public keys of the assertion, to whoever asks: an app
// on another machine, too. It may be kept for five minutes.
func (r *Room) JWKS() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			guard.Refuse(w, req, badForm.Deny("method %q", req.Method).In("method").WithStatus(http.StatusMethodNotAllowed).With("Allow", "GET, HEAD"))
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/jwk-set+json")
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("X-Content-Type-Options", "nosniff")
		w.Write(r.keys.JWKS())
	})
}

// checkJWKS looks for what would keep the file of public keys from those whom it
// is for, or let others write it. It writes nothing: a check of the configuration
// must not put its keys into the place of those that sign.
func (c Config) checkJWKS(state string) error {
	if c.JWKS == "" {
		return nil
	}
	name, err := filepath.Abs(c.JWKS)
	if err != nil {
		return fmt.Errorf("identity.jwks: %w", err)
	}
	folder := filepath.Dir(name)
	i, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("identity.jwks: there is no folder %s: make it, owned by the user that serves, mode 0755", folder)
	case err != nil:
		return fmt.Errorf("identity.jwks: %w", err)
	case !i.IsDir():
		return fmt.Errorf("identity.jwks: %s is not a folder", folder)
	case i.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("identity.jwks: everybody may write to %s (mode %04o), and who replaces the keys speaks for every user: run chmod o-w on it", folder, i.Mode().Perm())
	}
	if f, err := os.Lstat(name); err == nil && !f.Mode().IsRegular() {
		return fmt.Errorf("identity.jwks: %s is not a file", name)
	}
	if state == "" {
		return nil
	}
	if state, err = filepath.Abs(state); err != nil {
		return fmt.Errorf("identity.jwks: %w", err)
	}
	if within, err := filepath.Rel(state, name); err == nil && filepath.IsLocal(within) {
		return fmt.Errorf("identity.jwks: %s is in the state folder, which no other user may enter", name)
	}
	return nil
}

// publish writes the public keys to the file of the configuration, where they do
// not stand there.
func (r *Room) publish() error {
	if r.c.JWKS == "" {
		return nil
	}
	public := r.keys.JWKS()
	i, err := os.Lstat(r.c.JWKS)
	if err == nil && i.Mode() == 0o644 {
		if stands, err := os.ReadFile(r.c.JWKS); err == nil && bytes.Equal(stands, public) {
			return nil
		}
	}
	if err := disk.Replace(r.c.JWKS, public, 0o644); err != nil {
		return fmt.Errorf("publish the keys (identity.jwks): %w", err)
	}
	return nil
}
