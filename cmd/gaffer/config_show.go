package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
	"github.com/gafferpm/gaffer/internal/console"
)

func newConfigShow() *cobra.Command {
	var withOrigin, asJSON bool
	cmd := &cobra.Command{
		Use:   "show [flags] [TARGET]",
		Short: "Show the templates that are in force, and where they come from",
		Long: `Show the templates of TARGET, else all, as they are in force in the daemon, in the
form of a gaffer.toml. With --origin, show instead where each comes from: a file, an
application that was loaded, or run time; and which of its fields were changed at
run time, with what the file says.`,
		Example: `  gaffer config show > all.toml
  gaffer config show --origin`,
		Args:              atMost(1),
		ValidArgsFunction: completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := oneTarget(args)
			if err != nil {
				return err
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			origins, err := c.Origins(cmd.Context(), target)
			if err != nil {
				return explain(cmd.Context(), c, target, err)
			}
			s := newScreen(cmd)
			switch {
			case asJSON:
				return s.json(origins)
			case withOrigin:
				s.origins(origins)
				return s.Flush()
			}
			text, err := config.FormatTOML(templatesOf(origins))
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&withOrigin, "origin", false, "show where each template and each changed value comes from")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of origins")
	return cmd
}

func templatesOf(origins []gaffer.Origin) []gaffer.Template {
	var all []gaffer.Template
	for _, o := range origins {
		all = append(all, o.Template)
	}
	return all
}

// origins prints sources, and below each the templates that come from it.
func (s *screen) origins(all []gaffer.Origin) {
	var sources []string
	for _, o := range all {
		if !slices.Contains(sources, o.Source) {
			sources = append(sources, o.Source)
		}
	}
	for _, source := range sources {
		s.paint(source+":", bold)
		_ = s.WriteByte('\n')
		for _, o := range all {
			if o.Source == source {
				s.origin(o)
			}
		}
	}
}

func (s *screen) origin(o gaffer.Origin) {
	_, _ = s.WriteString("  " + console.Clean(o.Name) + "\n")
	for _, v := range o.Overrides {
		base := v.Base
		if base == "" {
			base = "nothing"
		}
		_, _ = s.WriteString("    " + console.Clean(v.Field+" = "+v.Value))
		s.paint(console.Clean(" (changed at run time; the source says "+base+")"), faint)
		_ = s.WriteByte('\n')
	}
}
