package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"syscall"

	"hauberk.dev"
	"hauberk.dev/guard"
	"hauberk.dev/internal/settings"
	"hauberk.dev/store"
)

// configFile is what a verb reads when it is told of no other.
const configFile = "hauberk.yaml"

// loaded is a config with the places of its keys.
type loaded struct {
	hauberk.Config
	file string
	doc  *settings.Doc
}

// load reads a config file. The mistakes in it are settings.Mistakes.
func load(file string) (loaded, error) {
	f, err := openFile(file)
	if err != nil {
		return loaded{}, err
	}
	defer f.Close()
	return loadFrom(f, file)
}

func loadFrom(f *os.File, file string) (loaded, error) {
	src, err := readAll(f, settings.MaxSize+1)
	if err != nil {
		return loaded{}, err
	}
	c, doc, err := hauberk.Parse(file, src)
	return loaded{c, file, doc}, err
}

// readSmall reads a file up to a limit.
func readSmall(file string, limit int64) ([]byte, error) {
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, limit)
}

// openFile opens what is a file, since reading a pipe or a device may never
// end. Without a writer even opening a pipe would wait for ever.
func openFile(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	i, err := f.Stat()
	if err == nil && !i.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", file)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func readAll(f *os.File, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", f.Name(), limit)
	}
	return text, err
}

// build makes the chain and its gateway. Mistakes get the places of their keys.
func (l loaded) build(s *store.Store) (*hauberk.Chain, http.Handler, error) {
	return l.gate(hauberk.New(l.Config, s))
}

// try finds what build would find wrong, and makes no keys.
func (l loaded) try() (*hauberk.Chain, error) {
	chain, _, err := l.gate(hauberk.Try(l.Config))
	return chain, err
}

func (l loaded) gate(chain *hauberk.Chain, err error) (*hauberk.Chain, http.Handler, error) {
	if err != nil {
		return nil, nil, l.locate(errors.Join(err, l.Reachable()))
	}
	app, err := chain.Gateway()
	if err != nil {
		return nil, nil, l.locate(err)
	}
	return chain, app, nil
}

func (l loaded) locate(err error) error {
	if l.doc == nil || err == nil {
		return err
	}
	return l.doc.Locate(err)
}

// principles returns the rooms, whose files and rules need no config.
func principles() ([]*guard.Principle, error) {
	chain, err := hauberk.New(hauberk.Config{}, nil)
	if err != nil {
		return nil, fmt.Errorf("open the rooms: %w", err)
	}
	return chain.Principles(), nil
}

// roomFile reads a file of a room, as text.
func roomFile(p *guard.Principle, name string) (string, error) {
	text, err := fs.ReadFile(p.Files, name)
	if err != nil {
		return "", fmt.Errorf("room %s: %w", p.Name, err)
	}
	return string(text), nil
}

// exists says whether something has the name, if only a dangling link.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}
