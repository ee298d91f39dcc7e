package main

import (
	"github.com/spf13/cobra"

	"hauberk.dev"
	"hauberk.dev/internal/settings"
)

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "print the JSON Schema of hauberk.yaml, for editors", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := configSchema()
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
}

// configSchema explains each key with the words that init writes above it.
func configSchema() ([]byte, error) {
	docs, err := keyDocs()
	if err != nil {
		return nil, err
	}
	return settings.Schema(hauberk.Config{}, docs)
}
