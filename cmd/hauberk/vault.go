package main

import (
	"path/filepath"
	"slices"
	"strings"

	"hauberk.dev"
	"hauberk.dev/guard/session"
	"hauberk.dev/internal/disk"
)

// vaultFile says for which sites and routes the operator was told of the vault.
func vaultFile(state string) string { return filepath.Join(state, "vault.said") }

// vaulted names the sites and routes whose app's cookies the vault keeps.
func vaulted(c hauberk.Config) []string {
	kept := func(levels ...*session.Config) bool {
		for _, s := range slices.Backward(levels) {
			if s != nil {
				return s.Vault != "off"
			}
		}
		return true
	}
	all := []string{}
	for _, s := range c.Sites {
		if s.To == "" && len(s.Routes) == 0 {
			continue
		}
		hosts := servedHosts(c, s)
		whole := kept(&c.Session, s.Session)
		if whole {
			all = append(all, hosts)
		}
		for _, r := range s.Routes {
			if of := kept(&c.Session, s.Session, r.Session); of && !whole {
				all = append(all, hosts+" on "+r.On)
			} else if whole && !of {
				all[len(all)-1] += " without " + r.On
			}
		}
	}
	return all
}

// vaultNotice is what a switch of the vault means for the people of the app.
func vaultNotice(sites []string) string {
	return "keeps the app's own HttpOnly cookies from browsers for " + strings.Join(sites, "; ") +
		": who was signed in to the app before signs in once more (`hauberk explain session.vault`)"
}

// sayVault tells of the vault once, and again when what it keeps has changed.
func sayVault(v voice, l loaded) {
	now := vaulted(l.Config)
	text := []byte(strings.Join(now, "\n") + "\n")
	before, err := readSmall(vaultFile(l.State), 1<<20)
	if err == nil && string(before) == string(text) {
		return
	}
	switch known := strings.TrimSpace(string(before)) != ""; {
	case len(now) > 0:
		v.line("  vault     %s", vaultNotice(now))
	case known:
		v.line("  vault     is off: the app's cookies go to browsers again, who was signed in to the app signs in once more")
	}
	if err := disk.Replace(vaultFile(l.State), text, 0o600); err != nil {
		v.warn("what was said of the vault will be said again: %s", err)
	}
}
