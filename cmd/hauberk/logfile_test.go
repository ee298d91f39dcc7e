package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hauberk.dev/guard"
)

func lines(t *testing.T, dir string) (n int, size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			t.Errorf("%s: ends in half a line", name)
		}
		n += bytes.Count(text, []byte("\n"))
		size += int64(len(text))
	}
	return n, size
}

func TestALogStaysBelowItsSizeAndKeepsTheNewestLines(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "hauberk.log")
	l, err := openLog(name, guard.MiB, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 10_000 {
				fmt.Fprintf(l, `{"writer":%d,"line":%d,"text":%q}`+"\n", w, i, strings.Repeat("x", 60))
			}
		})
	}
	all.Wait()
	n, size := lines(t, dir)
	if size > int64(guard.MiB) || size < int64(guard.MiB)*3/4 {
		t.Errorf("got %d bytes in all, want nearly 1 MiB", size)
	}
	if n < 5_000 {
		t.Errorf("got %d lines", n)
	}
	files, _ := filepath.Glob(name + "*")
	if len(files) != logFiles {
		t.Errorf("got %q, want %d files", files, logFiles)
	}
	for _, f := range files {
		if i, err := os.Stat(f); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v %v, want 0600", f, i.Mode(), err)
		}
	}
	newest, _ := os.ReadFile(name)
	if !bytes.Contains(newest, []byte(`"line":9999,`)) {
		t.Error("the newest lines are gone")
	}
}

func TestALogThatIsMovedAwayBeginsANewOne(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "hauberk.log")
	l, err := openLog(name, 0, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fmt.Fprintln(l, "before")
	if err := os.Rename(name, name+"-20261123"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); !exists(name); {
		if time.Now().After(end) {
			t.Fatal("no new file after 5 s")
		}
		time.Sleep(100 * time.Millisecond)
		fmt.Fprintln(l, "after")
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "after\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestWhatIsNoFileIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, link, "/dev/null", filepath.Join(dir, "none", "x.log")} {
		if l, err := openLog(name, 0, nil); err == nil {
			l.Close()
			t.Errorf("%s: got none, want an error", name)
		}
	}
	if exists(target) {
		t.Error("the link was followed")
	}
}

func TestALogThatCannotBeWrittenIsComplainedOfOnce(t *testing.T) {
	var told []error
	l, err := openLog(filepath.Join(t.TempDir(), "x.log"), 0, func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	l.file.Close() // as when the disk says no
	for range 100 {
		fmt.Fprintln(l, "lost")
	}
	if len(told) != 1 {
		t.Errorf("got %v, want one complaint", told)
	}
}

// TestServeCutsItsLog asks serve for more lines than its log may hold.
func TestServeCutsItsLog(t *testing.T) {
	dir, logs := t.TempDir(), t.TempDir()
	config := filepath.Join(dir, "hauberk.yaml")
	name := filepath.Join(logs, "hauberk.log")
	text := fmt.Sprintf("log_file: %s\nlog_size: 1MiB\nsites: [{to: http://127.0.0.1:1, access: app}]\n", name)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	serve := exec.Command(hauberkBinary(t), "serve", "-c", config, "--listen", address, "--state", filepath.Join(dir, "state"))
	var out, said bytes.Buffer
	serve.Stdout, serve.Stderr = &out, &said
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	path := "/" + strings.Repeat("long", 200)
	for asked := 0; !exists(name+".1") && ctx.Err() == nil; asked++ {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "nobody.example" // refused at once
		if res, err := client.Do(r); err == nil {
			res.Body.Close()
		}
	}
	serve.Process.Signal(os.Interrupt)
	if err := serve.Wait(); err != nil {
		t.Errorf("got %v\n%s", err, &said)
	}
	n, size := lines(t, logs)
	if !exists(name+".1") || n < 50 || size > int64(guard.MiB) || out.Len() > 0 {
		t.Errorf("got %d lines of %d bytes, and %q on the standard output", n, size, &out)
	}
	if !strings.Contains(said.String(), "at most 1MiB") {
		t.Errorf("got %s, want the log named at the start", &said)
	}
}
