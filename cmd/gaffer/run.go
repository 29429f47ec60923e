package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/config"
	"github.com/gafferpm/gaffer/internal/proc"
)

// What a shell answers when a command can't be executed, and when there is none.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

func newRun() *cobra.Command {
	var f fileFlags
	var template string
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run one command with the environment of a template",
		Long: `Run one command with the variables that gaffer.toml, else Procfile, of this
directory gives its processes: with -t those of one template, without those that
all have in common (.env, and -e). The command runs in this directory, as this
user, on this terminal.

Exit status: the command's own; 127 when there is no such command, 126 when it
can't be executed.`,
		Example: `  gaffer run -- ./manage migrate
  gaffer run -t web -- env`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which command? want `gaffer run -- COMMAND`")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := f.load(cmd, nil)
			if err != nil {
				return err
			}
			env, err := environment(file, template)
			if err != nil {
				return err
			}
			return become(args, env)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&template, "template", "t", "", "`name` of the template whose variables are wanted")
	_ = cmd.RegisterFlagCompletionFunc("template", f.completeNames)
	cmd.Flags().SetInterspersed(false) // what follows the command is the command's
	return cmd
}

// environment is that of a template's first process, or of no template's.
func environment(file *config.File, name string) ([]string, error) {
	common := gaffer.Template{Name: "run", Cmd: "true", EnvFiles: file.EnvFiles}
	if name == "" {
		env, err := common.Environ()
		return withoutOwn(env), err
	}
	var names []string
	for _, t := range file.Templates {
		if t.Name == name {
			return t.Environ()
		}
		names = append(names, t.Name)
	}
	return nil, config.UnknownName(name, names)
}

// withoutOwn leaves out what tells a process which one it is: this is none.
func withoutOwn(env []string) []string {
	kept := env[:0]
	for _, entry := range env {
		if !strings.HasPrefix(entry, "GAFFER_NAME=") && !strings.HasPrefix(entry, "GAFFER_SLOT=") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// become turns this process into the command: signals, terminal, job control and
// exit status are the command's own, because there is nothing in between.
func become(argv, env []string) error {
	path := ""
	for _, entry := range env {
		if value, found := strings.CutPrefix(entry, "PATH="); found {
			path = value
		}
	}
	program, err := proc.LookPath(argv[0], path, "", nil)
	if err == nil {
		err = syscall.Exec(program, argv, env)
		err = fmt.Errorf("%s: %w", argv[0], err)
	}
	fmt.Fprintln(os.Stderr, "gaffer:", err)
	if errors.Is(err, syscall.ENOENT) {
		return statusError(exitNotFound)
	}
	return statusError(exitNotExecutable)
}
