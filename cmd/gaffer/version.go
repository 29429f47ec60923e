package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer/client"
)

// build is what gaffer knows of itself.
type build struct {
	Version string `json:"version"` // a release's number, or "(devel)"
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	System  string `json:"system"`

	StateDir   string `json:"state_dir"`
	RuntimeDir string `json:"runtime_dir"`

	Host   string          `json:"host"`             // of the daemon
	Daemon *client.Version `json:"daemon,omitempty"` // nil when none answers
}

// versionPatience is how long a daemon has to answer: it is not what was asked for.
const versionPatience = time.Second

func newVersion() *cobra.Command {
	var verbose, asJSON bool
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Show the version",
		Long: `Show the version of this program; with -v also how it was built, where it keeps its
files, and which daemon answers.`,
		Example: `  gaffer version
  gaffer version -v
  gaffer version --json | jq -r .runtime_dir`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := newScreen(cmd)
			switch {
			case asJSON:
				return s.json(aboutAll(cmd))
			case verbose:
				s.build(aboutAll(cmd))
			default:
				fmt.Fprintf(s, "gaffer %s\n", version())
			}
			return s.Flush()
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show how it was built, where it keeps its files, and the daemon's version, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all of that as JSON")
	return cmd
}

// version is what the build knows of itself: a release's number, or "(devel)".
// release is the number of a release whose build does not know it by itself, as of a
// source archive: go build -ldflags "-X main.release=v1.2.3".
var release string

func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}

// aboutAll is the build, and the daemon's if there is one.
func aboutAll(cmd *cobra.Command) build {
	b := build{
		Version: version(), Commit: commit(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		StateDir: stateDir(cmd), RuntimeDir: runtimeDir(cmd), Host: hostOf(cmd),
	}
	c, err := connect(cmd)
	if err != nil {
		return b
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), versionPatience)
	defer cancel()
	if v, err := c.Version(ctx); err == nil {
		b.Daemon = &v
	}
	return b
}

func commit() string {
	name, modified := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				name = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = ", with changes"
			}
		}
	}
	return name + modified
}

func (s *screen) build(b build) {
	fmt.Fprintf(s, "gaffer %s\n", b.Version)
	t := &table{columns: []column{{}, {}}}
	t.add(text("commit"), text(b.Commit))
	t.add(text("go"), text(b.Go+" "+b.System))
	t.add(text("state directory"), text(b.StateDir))
	t.add(text("runtime directory"), text(b.RuntimeDir))
	said := "none answers at " + b.Host
	if d := b.Daemon; d != nil {
		said = fmt.Sprintf("%s, pid %d, for %s, at %s", d.Version, d.PID, uptime(s.now, d.Started), b.Host)
	}
	t.add(text("daemon"), text(said))
	t.body(s)
}
