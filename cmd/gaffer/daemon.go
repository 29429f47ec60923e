package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer/config"
)

// daemonFlags are the flags of gaffer daemon.
type daemonFlags struct {
	configs    []string
	profile    string
	verbose    bool
	timestamps bool
	background bool
	pidFile    string
	logFile    string
	logLevel   string
	logFormat  string
	starterFD  int

	stateDir, runtimeDir string
}

func newDaemon() *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{
		Use:   "daemon [flags]",
		Short: "Run the daemon: the manager with its API",
		Long: `Run the manager with its API, in the foreground. What it runs comes from the files
it is started with, from what was given to it at run time, and from what users
wanted of it (stopped, scaled): that is kept in the state directory, and the next
daemon goes on with it.

SIGTERM and SIGINT stop all services in order, a second one kills them; what was
wanted is kept. SIGHUP reads the files again and applies them.

Exit status: 0 stopped as asked; 1 it could not run, or another one runs.`,
		Example: `  gaffer daemon -v
  gaffer daemon --background --config /srv/shop/gaffer.toml
  gaffer daemon stop`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.stateDir, f.runtimeDir = stateDir(cmd), runtimeDir(cmd)
			if f.background {
				return f.runInBackground()
			}
			starter := newStarter(f.starterFD)
			err := f.run(cmd.Context(), starter)
			starter.failed(err)
			return err
		},
	}
	f.add(cmd)
	cmd.AddCommand(newDaemonStop())
	return cmd
}

func (f *daemonFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.configs, "config", "f", nil, "`file` to read: a gaffer.toml or a Procfile; can be repeated (default GAFFER_CONFIG, else gaffer.toml in the user's or system's directory of configuration, if there is one)")
	flags.StringVar(&f.profile, "profile", "", "`name` of the profile of the file that is to be in force (default GAFFER_PROFILE)")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show what happens and what services write, as gaffer up does")
	flags.BoolVarP(&f.timestamps, "timestamps", "t", false, "with -v: show the time of each line")
	flags.BoolVar(&f.background, "background", false, "start it in the background, and return when it answers")
	flags.StringVar(&f.pidFile, "pid-file", "", "`file` to write the pid to")
	flags.StringVar(&f.logFile, "log-file", "", "`file` to write the log to (default stderr; in the background gaffer.log in the state directory)")
	flags.StringVar(&f.logLevel, "log-level", "", "the least to log: debug, info, warn or error (default info)")
	flags.StringVar(&f.logFormat, "log-format", "", "text or json (default text)")
	flags.IntVar(&f.starterFD, "starter-fd", 0, "descriptor of who waits for the daemon to be ready")
	_ = flags.MarkHidden("starter-fd")
	for _, name := range []string{"config", "pid-file", "log-file"} {
		_ = cmd.MarkFlagFilename(name)
	}
}

func (f *daemonFlags) runInBackground() error {
	path := f.logFile
	if path == "" {
		if err := config.PrivateDir(f.stateDir); err != nil {
			return fmt.Errorf("state directory %w", err)
		}
		path = filepath.Join(f.stateDir, "gaffer.log")
	}
	return startInBackground(os.Args[1:], path)
}
