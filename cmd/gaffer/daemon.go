package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"

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
	holderFD   int // 0: this process holds its services itself

	stateDir, runtimeDir string
	insteadOf            string // the usual runtime directory, which can't be written
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
			f.stateDir = stateDir(cmd)
			f.runtimeDir, f.insteadOf = runtimeDirInstead(cmd)
			if f.background {
				return f.runInBackground()
			}
			if f.wantsHolder() {
				return becomeHolder(f.starterFD, os.Args[1:])
			}
			if f.holderFD != 0 {
				f.starterFD = 0 // that one is the holder's
			}
			starter := newStarter(f.starterFD)
			return f.run(cmd.Context(), starter)
		},
	}
	f.add(cmd)
	cmd.AddCommand(newDaemonStop(), newDaemonUpgrade())
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
	flags.IntVar(&f.holderFD, "holder-fd", 0, "descriptor that leads to the holder")
	_ = flags.MarkHidden("starter-fd")
	_ = flags.MarkHidden("holder-fd")
	for _, name := range []string{"config", "pid-file", "log-file"} {
		_ = cmd.MarkFlagFilename(name)
	}
}

// wantsHolder says that the services are to be held by a process of their own, and
// that this is not its manager yet. What is wrong with the files is for that to say.
func (f *daemonFlags) wantsHolder() bool {
	if !canHold || f.holderFD != 0 {
		return false
	}
	if !slices.ContainsFunc(f.paths(), mayBeDirect) {
		return true
	}
	files, _ := f.files()
	return files.read.Settings.Host != config.HostDirect
}

// mayBeDirect says whether a file could ask for host = "direct". One that has neither the
// word nor an escape that could be a part of it, and includes no other, can't: to read thousands of templates
// twice takes as long as to start hundreds of processes.
func mayBeDirect(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > config.MaxFileSize {
		return true // what is wrong is found out by who reads it
	}
	text, err := os.ReadFile(path)
	return err != nil || slices.ContainsFunc([]string{string(config.HostDirect), "include", `\u`, `\U`, `\x`}, func(word string) bool {
		return bytes.Contains(text, []byte(word))
	})
}

func (f *daemonFlags) runInBackground() error {
	path := f.logFile
	if path == "" {
		if err := config.PrivateDir(f.stateDir); err != nil {
			return stateDirFault(err)
		}
		path = filepath.Join(f.stateDir, "gaffer.log")
	}
	return startInBackground(os.Args[1:], path)
}
