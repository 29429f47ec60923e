package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer/client"
)

func newForwards() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "forwards [flags]",
		Short: "List where lines are forwarded to, and how that goes",
		Long: `List the forwards of the daemon's configuration: how many lines were sent since the
daemon began, how far each is behind, what was lost, and the latest error.`,
		Example: `  gaffer forwards`,
		Args:    noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing[client.Forward]{
				get: (*client.Client).Forwards, name: func(x client.Forward) string { return x.Name }, show: (*screen).forwards,
				none: "no forwards; [forward.NAME] in the daemon's configuration makes one",
			}.run(cmd, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of forwards")
	return cmd
}

func (s *screen) forwards(list []client.Forward) {
	t := &table{columns: []column{
		{head: "NAME"}, {head: "TYPE"}, {head: "SENT", right: true}, {head: "BEHIND", right: true}, {head: "LOST", right: true},
		{head: "TARGET"}, {head: "STREAMS"}, {head: "URL"},
	}}
	for _, f := range list {
		behind := cell{"-", plain}
		if !f.Behind.IsZero() {
			behind = text(uptime(s.now, f.Behind))
		}
		t.add(text(f.Name), text(f.Type), text(strconv.FormatUint(f.Sent, 10)), behind, lostOf(f),
			text(orElse(string(f.Target), "*")), text(orElse(strings.Join(f.Streams, ","), "all")), text(f.URL))
	}
	t.print(s)
	for _, f := range list {
		if f.LastError == "" {
			continue
		}
		_ = s.WriteByte('\n')
		s.paint(f.Name, bold)
		s.paint(fmt.Sprintf(": latest error, %s: %s", ago(s.now, f.LastErrorAt), f.LastError), plain)
		_ = s.WriteByte('\n')
	}
}

// lostOf is what a destination did not get, and will not.
func lostOf(f client.Forward) cell {
	var parts []string
	if f.Lost > 0 {
		parts = append(parts, strconv.FormatUint(f.Lost, 10)+" lines")
	}
	if f.LostBytes > 0 { // nobody knows how many lines
		parts = append(parts, size(uint64(f.LostBytes)))
	}
	if len(parts) == 0 {
		return cell{"0", plain}
	}
	return cell{strings.Join(parts, ", "), red}
}
