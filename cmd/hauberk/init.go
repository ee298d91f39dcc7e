package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"hauberk.dev"
)

func initCommand() *cobra.Command {
	var file, to string
	var force bool
	c := &cobra.Command{
		Use: "init", Short: "write a commented hauberk.yaml", Args: noArgs,
		Long: "Init writes a hauberk.yaml that holds every key with its default and what it\n" +
			"does. It reads the package.json beside it, if there is one, to fill in the app.",
		RunE: func(c *cobra.Command, _ []string) error {
			return initialise(voiceOf(c.OutOrStdout()), file, to, force)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", configFile, "the file to write")
	c.Flags().StringVar(&to, "to", "", "the app, as for serve; else as package.json says, else localhost:3000")
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	return c
}

func initialise(v voice, file, to string, force bool) error {
	if exists(file) && !force {
		return fmt.Errorf("%s is there already: it was left as it is; --force writes over it", file)
	}
	app, found, err := readPackage(filepath.Dir(file))
	if err != nil {
		return err
	}
	var said []string
	if to, said, err = chooseUpstream(to, app, found); err != nil {
		return err
	}
	text, err := configText(to, app.override())
	if err != nil {
		return err
	}
	if _, _, err := hauberk.Parse(file, []byte(text)); err != nil {
		return fmt.Errorf("what init would write is wrong: %w", err)
	}
	if err := replace(file, text, force); err != nil {
		return err
	}
	for _, s := range said {
		v.line("found %s", s)
	}
	v.line("%s %s, which guards %s", v.green("wrote"), file, to)
	v.line("next: `hauberk check`, then `hauberk serve`")
	return nil
}

// chooseUpstream takes what was asked for, or what the package tells.
func chooseUpstream(to string, app nodePackage, found bool) (chosen string, said []string, err error) {
	if found {
		said = app.findings()
	}
	if to != "" {
		if chosen, err = upstream(to); err != nil {
			return "", nil, usage{err}
		}
		return chosen, said, nil
	}
	port, why := 3000, ""
	if found {
		port, why = app.port()
	}
	if why != "" {
		said = append(said, fmt.Sprintf("port %d in %s", port, why))
	} else {
		said = append(said, "no port of the app: 3000 is a guess, see sites[0].to")
	}
	return fmt.Sprintf("http://localhost:%d", port), said, nil
}

// configText joins the sections of the rooms behind the head.
func configText(to, override string) (string, error) {
	rooms, err := principles()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# The configuration of Hauberk. What is commented out is the default, unless\n" +
		"# its comment says otherwise. `hauberk explain KEY` tells more about a key,\n" +
		"# `hauberk check` finds every mistake, and `hauberk schema` prints a JSON Schema\n" +
		"# for editors.\n\n")
	head := strings.Replace(topConfig, "to: http://localhost:3000\n", "to: "+to+"\n", 1)
	if override != "" {
		head = strings.Replace(head, "# method_override: header", "method_override: "+override, 1)
	}
	b.WriteString(head)
	for _, p := range rooms {
		section, err := roomFile(p, "config.yaml")
		if err != nil {
			return "", err
		}
		b.WriteString("\n" + strings.Trim(section, "\n") + "\n")
	}
	return b.String(), nil
}

// replace writes a file in one step, so that nobody reads half of it. Without
// force it never takes the place of another, even one that appears meanwhile.
func replace(file, text string, force bool) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".hauberk-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if force {
		err = os.Rename(tmp.Name(), file)
	} else {
		err = os.Link(tmp.Name(), file)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: it was left as it is; --force writes over it", file)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
