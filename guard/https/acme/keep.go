package acme

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/caddyserver/certmagic"
)

// The time between two attempts for a name grows from a minute to six hours:
// authorities count failures, and a file may be mended at any moment.
const (
	firstAgain = time.Minute
	lastAgain  = 6 * time.Hour
)

// keep looks after one name until ctx is done; certmagic renews what it holds,
// but tries nothing again whose files it could not read. begun is called after
// the first attempt.
func (k *Keeper) keep(ctx context.Context, config *certmagic.Config, name string, begun func()) {
	again := min(firstAgain, k.o.Check)
	for {
		err := k.attempt(ctx, config, name)
		if begun != nil {
			begun()
			begun = nil
		}
		wait := k.o.Check
		if err != nil && ctx.Err() == nil {
			wait, again = again, min(2*again, lastAgain)
			k.o.Failed(fmt.Sprintf("%s: %v; the next attempt follows in %v", name, err, wait))
		} else {
			again = min(firstAgain, k.o.Check)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// attempt has one good certificate in the storage and in the cache.
func (k *Keeper) attempt(ctx context.Context, config *certmagic.Config, name string) error {
	storage := config.Storage.(*certmagic.FileStorage)
	for _, i := range config.Issuers {
		if spoiled(ctx, storage, i.IssuerKey(), name) == nil {
			continue
		}
		if err := k.putAside(ctx, storage, i.IssuerKey(), name); err != nil {
			return err
		}
	}
	if err := config.ObtainCertSync(ctx, name); err != nil {
		return err
	}
	return config.ManageSync(ctx, []string{name})
}

// spoiled says why the files of a name cannot be used. What is missing is
// obtained, and what cannot be read at this moment may be at the next: neither
// is spoiled.
func spoiled(ctx context.Context, storage *certmagic.FileStorage, issuer, name string) error {
	var texts [3][]byte
	whole := true
	for i, key := range []string{
		certmagic.StorageKeys.SiteCert(issuer, name), certmagic.StorageKeys.SitePrivateKey(issuer, name), certmagic.StorageKeys.SiteMeta(issuer, name),
	} {
		text, err := storage.Load(ctx, key)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EISDIR) {
			return err
		}
		texts[i], whole = text, whole && err == nil
	}
	if !whole {
		return nil
	}
	pair, err := tls.X509KeyPair(texts[0], texts[1])
	if err == nil {
		err = pair.Leaf.VerifyHostname(name)
	}
	if err != nil {
		return fmt.Errorf("certificate and key: %w", err)
	}
	var about certmagic.CertificateResource
	if err := json.Unmarshal(texts[2], &about); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	return nil
}

// putAside renames the folder of a name whose files are spoiled. Whoever obtains
// or renews writes them one after the other under the lock that is taken here:
// under it they are looked at again.
func (k *Keeper) putAside(ctx context.Context, storage *certmagic.FileStorage, issuer, name string) error {
	lock := "issue_cert_" + name // certmagic's own
	if err := storage.Lock(ctx, lock); err != nil {
		return err
	}
	defer storage.Unlock(context.WithoutCancel(ctx), lock)
	why := spoiled(ctx, storage, issuer, name)
	if why == nil {
		return nil
	}
	folder := storage.Filename(path.Dir(certmagic.StorageKeys.SiteCert(issuer, name)))
	return k.rename(folder, fmt.Errorf("%s: %w", name, why))
}

// rename keeps a file or folder that cannot be used under another name, for who
// wants to know what became of it, and tells why.
func (k *Keeper) rename(from string, why error) error {
	to := from + ".broken-" + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("put aside what cannot be used (%w): %w", why, err)
	}
	k.o.Failed(fmt.Sprintf("%v: put aside as %s, and made anew", why, to))
	return nil
}
