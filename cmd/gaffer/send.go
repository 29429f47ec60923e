package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

// chunk is how much of a file is sent at a time.
const chunk = 32 << 10

func newSend() *cobra.Command {
	var stream string
	var noNewline bool
	cmd := &cobra.Command{
		Use:   "send [flags] TARGET TEXT|-",
		Short: "Write to the input of a process",
		Long: `Write TEXT and a newline to the standard input of the one process that TARGET
selects, or with - all of this command's own input as it is. The template has to have
redirect_input = true. --stream names a custom stream instead.`,
		Example: `  gaffer send web.1 reload
  gaffer send console 'say hello'
  gaffer send web.1 --stream control - < commands.txt`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) < 2:
				return usagef("what to whom? want `%s TARGET TEXT`", cmd.CommandPath())
			case len(args) > 2:
				return usagef("unexpected argument %q; a text with blanks has to be quoted", args[2])
			}
			return nil
		},
		ValidArgsFunction: completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			target := gaffer.Target(args[0])
			if err := target.Check(); err != nil {
				return &usageError{err}
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			write := func(data []byte) error {
				return explain(cmd.Context(), c, target, c.Write(cmd.Context(), target, stream, data))
			}
			if args[1] == "-" {
				return inChunks(cmd.InOrStdin(), write)
			}
			text := args[1]
			if !noNewline {
				text += "\n"
			}
			return write([]byte(text))
		},
	}
	cmd.Flags().StringVar(&stream, "stream", "stdin", "`label` of the stream to write to")
	cmd.Flags().BoolVarP(&noNewline, "no-newline", "n", false, "do not add a newline to TEXT")
	return cmd
}

// inChunks writes all of in, as it comes.
func inChunks(in io.Reader, write func([]byte) error) error {
	buf := make([]byte, chunk)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if err := write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
