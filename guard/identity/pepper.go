package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"hauberk.dev/store"
)

// lost ends the name of the empty file by which an operator accepts that the
// secrets are gone.
const lost = ".lost"

// pepperless refuses to make new secrets where passwords stand that are right
// only with the old ones: every right password would be refused from then on, and
// nobody would know why.
func (r *Room) pepperless() error {
	if r.o.Dir == "" {
		return nil
	}
	name := filepath.Join(r.o.Dir, "identity", "secrets")
	for _, there := range []string{name, name + lost} {
		if _, err := os.Lstat(there); !errors.Is(err, fs.ErrNotExist) {
			return nil // what else is wrong with it is told where it is read
		}
	}
	for after := ""; ; {
		page, err := r.book.List(context.Background(), after, store.MaxPage)
		if err != nil {
			return fmt.Errorf("identity: look for passwords, since %s is not there: %w", name, err)
		}
		for _, a := range page {
			if a.Hash != "" {
				return fmt.Errorf("identity: %s is not there, and without it no password of an account is right: restore the file from where you keep the keys (hauberk backup --with-keys has it); or make an empty file %s, which accepts that every password must be set anew by hauberk users set-password", name, name+lost)
			}
		}
		if len(page) < store.MaxPage {
			return nil
		}
		after = page[len(page)-1].ID
	}
}
