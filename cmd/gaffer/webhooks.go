package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer/client"
)

func newWebhooks() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "webhooks [flags]",
		Short: "List webhooks and what they could not deliver",
		Long: `List the webhooks of the daemon's configuration, how they go, and the events that
could not be delivered and were given up.`,
		Example: `  gaffer webhooks
  gaffer webhooks retry ops`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing[client.Webhook]{
				get: (*client.Client).Webhooks, name: func(x client.Webhook) string { return x.Name }, show: (*screen).webhooks,
				none: "no webhooks; [webhook.NAME] in the daemon's configuration makes one",
			}.run(cmd, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of webhooks")
	cmd.AddCommand(newWebhooksRetry())
	return cmd
}

func newWebhooksRetry() *cobra.Command {
	return &cobra.Command{
		Use:     "retry NAME...",
		Short:   "Deliver again what was given up",
		Long:    `Put the events that a webhook has given up at the end of its queue again.`,
		Example: `  gaffer webhooks retry ops`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which? want `%s NAME`", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeWebhooks,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := c.RetryWebhook(cmd.Context(), name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// mostDead is how many dead letters of a webhook a person reads.
const mostDead = 20

func (s *screen) webhooks(hooks []client.Webhook) {
	t := &table{columns: []column{
		{head: "NAME"}, {head: "PENDING", right: true}, {head: "DELIVERED", right: true}, {head: "FAILED", right: true},
		{head: "DEAD", right: true}, {head: "TARGET"}, {head: "KINDS"}, {head: "URL"},
	}}
	for _, h := range hooks {
		kinds := make([]string, 0, len(h.Kinds))
		for _, k := range h.Kinds {
			kinds = append(kinds, string(k))
		}
		dead := cell{strconv.Itoa(len(h.Dead)), plain}
		if len(h.Dead) > 0 {
			dead.color = red
		}
		t.add(text(h.Name), text(strconv.Itoa(h.Pending)), text(strconv.FormatUint(h.Delivered, 10)), text(strconv.FormatUint(h.Failed, 10)),
			dead, text(orElse(string(h.Target), "*")), text(orElse(strings.Join(kinds, ","), "all")), text(h.URL))
	}
	t.print(s)
	for _, h := range hooks {
		if h.LastError != "" || len(h.Dead) > 0 {
			s.undelivered(h)
		}
	}
}

func (s *screen) undelivered(h client.Webhook) {
	_ = s.WriteByte('\n')
	what := "could not be delivered"
	if len(h.Dead) == 0 {
		what = "latest error: " + h.LastError
	}
	s.paint(h.Name, bold)
	s.paint(": "+what, plain)
	_ = s.WriteByte('\n')
	if len(h.Dead) == 0 {
		return
	}
	dead := &table{indent: 2, columns: []column{{head: "EVENT", right: true}, {head: "KIND"}, {head: "NAME"}, {head: "ATTEMPTS", right: true}, {head: "LATEST"}, {head: "ERROR"}}}
	for _, d := range h.Dead[:min(len(h.Dead), mostDead)] {
		dead.add(text(strconv.FormatUint(d.Seq, 10)), text(string(d.Kind)), text(d.Name), text(strconv.Itoa(d.Attempts)),
			text(ago(s.now, d.Time)), text(d.Error))
	}
	dead.print(s)
	if more := len(h.Dead) - mostDead; more > 0 {
		s.paint("  … and "+strconv.Itoa(more)+" more", faint)
		_ = s.WriteByte('\n')
	}
	s.paint("  `gaffer webhooks retry "+h.Name+"` delivers them again", faint)
	_ = s.WriteByte('\n')
}

// orElse is a text, or where there is none another.
func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func completeWebhooks(cmd *cobra.Command, given []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	c, err := connect(cmd)
	if err != nil {
		return nil, directive
	}
	ctx, cancel := completionContext()
	defer cancel()
	hooks, err := c.Webhooks(ctx)
	if err != nil {
		return nil, directive
	}
	var out []cobra.Completion
	for _, h := range hooks {
		if strings.HasPrefix(h.Name, begun) && !slices.Contains(given, h.Name) {
			out = append(out, cobra.CompletionWithDesc(h.Name, h.URL))
		}
	}
	return out, directive
}
