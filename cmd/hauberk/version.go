package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "say which Hauberk this is", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			voiceOf(c.OutOrStdout()).line("hauberk %s %s/%s %s", version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
			return nil
		},
	}
}

// released is the version of a release build, which the linker sets: such a
// build is told nothing else, so that equal trees give equal bytes.
var released string

// version is that of the release, or the module's, and the commit of a build
// from a checkout.
func version() string {
	if released != "" {
		return released
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	text := info.Main.Version
	if text == "" {
		text = "(devel)"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && text == "(devel)":
			text += " " + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true" && text[0] == '(':
			text += " modified"
		}
	}
	return text
}
