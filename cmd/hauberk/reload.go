package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"hauberk.dev/internal/disk"
)

// reloadTime is how long a reload may take before hauberk reload gives up on
// hearing what came of it.
const reloadTime = 30 * time.Second

func reloadCommand() *cobra.Command {
	var state, config string
	c := &cobra.Command{
		Use: "reload", Short: "have the running serve read its config again", Args: noArgs,
		Long: "Reload tells the serve that runs on the state directory to read its config file\n" +
			"again, as the signal SIGHUP does, and says what came of it. No connection is\n" +
			"dropped and no request lost. Where the new config is wrong, or others than you\n" +
			"can write its file, the old one stays in force and reload fails.",
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := namedState(c, state, config)
			if err != nil {
				return err
			}
			return reload(c.Context(), voiceOf(c.OutOrStdout()), dir)
		},
	}
	c.Flags().StringVar(&state, "state", "", "the state directory of the serve that runs")
	c.Flags().StringVarP(&config, "config", "c", configFile, "the config file that may name the state directory")
	return c
}

func reload(ctx context.Context, v voice, dir string) error {
	before, err := running(dir)
	if err != nil {
		return err
	}
	if err := syscall.Kill(before.Process, syscall.SIGHUP); err != nil {
		return fmt.Errorf("signal process %d: %w", before.Process, err)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	for {
		now, err := readServing(dir)
		switch {
		case err == nil && now.Process != before.Process:
			return fmt.Errorf("process %d ended", before.Process)
		case err == nil && now.Reloads > before.Reloads && now.Error != "":
			return errors.New(now.Error)
		case err == nil && now.Reloads > before.Reloads:
			v.line("process %d: %s", now.Process, v.green("the new configuration is in force"))
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("process %d has not said within %s what came of the reload: read its log", before.Process, reloadTime)
		}
	}
}

// serving is what serve tells other verbs by a file in its state directory.
type serving struct {
	Process int `json:"process"`
	// Reloads counts those that were tried.
	Reloads int `json:"reloads"`
	// Error is why the last one failed, "" where it did not.
	Error string `json:"error,omitempty"`
}

func servingFile(dir string) string { return filepath.Join(dir, "serving.json") }

// write replaces the file as a whole: another process may be reading it.
func (s serving) write(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return disk.Replace(servingFile(dir), append(text, '\n'), 0o600)
}

func readServing(dir string) (serving, error) {
	var s serving
	text, err := readSmall(servingFile(dir), 1<<20)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// running finds the serve that holds a state directory. Other verbs may hold
// it for a moment, and a number in a file may belong to anybody by now: so the
// lock must be held, and by the process that says that it serves.
func running(dir string) (serving, error) {
	nobody := fmt.Errorf("no hauberk serves with the state directory %s: start it, or name another directory with --state", dir)
	s, err := readServing(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return serving{}, nobody
	}
	if err != nil {
		return serving{}, err
	}
	f, err := os.Open(lockOf(dir))
	if err != nil {
		return serving{}, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		return serving{}, nobody
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return serving{}, fmt.Errorf("look at %s: %w", f.Name(), err)
	}
	holder := make([]byte, 32)
	n, _ := f.Read(holder)
	pid, err := strconv.Atoi(strings.TrimSpace(string(holder[:n])))
	if err != nil || s.Process != pid || pid < 1 || pid == 1 && !contained() {
		return serving{}, nobody
	}
	return s, nil
}

// contained says whether process 1 is a hauberk, as in a container, and not the
// machine's init.
func contained() bool {
	first, err := os.Readlink("/proc/1/exe")
	if err != nil {
		return false
	}
	mine, err := os.Executable()
	return err == nil && first == mine
}
