package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

// appSource is how the source of an application is written.
const appSource = "app:"

// loadFlags are the flags of gaffer load.
type loadFlags struct {
	applyFlags
	app    string
	counts []string
}

func newLoad() *cobra.Command {
	var f loadFlags
	cmd := &cobra.Command{
		Use:   "load [flags] [FILE]",
		Short: "Give a Procfile or gaffer.toml to the daemon as a group",
		Long: `Give FILE, else gaffer.toml, else Procfile, of this directory to the daemon as an
application: web of it becomes APP:web in group APP, which is the name of the
directory unless --app says otherwise. To load it again applies what has changed;
gaffer unload takes it back.

Exit status: as of gaffer apply.`,
		Example: `  gaffer load
  gaffer load shop/Procfile --app store -c web=2
  gaffer restart 'store:*'`,
		Args: atMost(1),
		RunE: f.run,
	}
	f.fileFlags.add(cmd)
	f.addRest(cmd)
	f.addWait(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.app, "app", "", "`name` of the group (default the directory's)")
	flags.StringSliceVarP(&f.counts, "count", "c", nil, "numbers of processes, as `web=2,worker=3`")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show the plan and do nothing")
	return cmd
}

func (f *loadFlags) run(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		if f.path != "" {
			return usagef("want FILE or --config, not both")
		}
		f.path = args[0]
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	d, err := f.application(cmd)
	if err != nil {
		return err
	}
	c, err := connect(cmd)
	if err != nil {
		return err
	}
	plan, err := c.Plan(cmd.Context(), d)
	if err != nil {
		return err
	}
	if f.dryRun {
		return f.show(cmd, plan)
	}
	return f.apply(cmd, c, d, plan)
}

// application is what a file defines, as a group.
func (f *loadFlags) application(cmd *cobra.Command) (gaffer.Desired, error) {
	var d gaffer.Desired
	counts, err := parseCounts(f.counts)
	if err != nil {
		return d, err
	}
	file, err := f.load(cmd, counts)
	if err != nil {
		return d, err
	}
	app := f.app
	if app == "" {
		if app, err = directoryName(file.Path); err != nil {
			return d, err
		}
	}
	if err := gaffer.CheckName(app); err != nil || strings.Contains(app, ":") {
		return d, usagef("the group can't be named %q: want a letter, then letters, digits, - and _; --app NAME names it", app)
	}
	d = gaffer.Desired{Source: appSource + app, Adopt: f.adopt, Reset: f.reset}
	var errs []error
	for _, t := range file.Templates {
		if t.Group() != "" {
			errs = append(errs, fmt.Errorf("template %s: %w: it is in a group already, and group %s can't have another in it", t.Name, gaffer.ErrInvalid, app))
		}
		t.Name = app + ":" + t.Name
		needs := make(map[string]gaffer.Condition, len(t.DependsOn))
		for name, condition := range t.DependsOn {
			needs[app+":"+name] = condition
		}
		if len(needs) > 0 {
			t.DependsOn = needs
		}
		d.Templates = append(d.Templates, t)
	}
	return d, errors.Join(errs...)
}

// notInNames is what can't be in a name.
var notInNames = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^A-Za-z0-9_-]+`) })

// directoryName is the name of a file's directory as that of a group.
func directoryName(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return strings.Trim(notInNames().ReplaceAllString(filepath.Base(filepath.Dir(abs)), "-"), "-"), nil
}

func newUnload() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use:   "unload [flags] APP",
		Short: "Take back an application that was loaded",
		Long: `Stop and remove what gaffer load has brought as APP. What else is in the group
stays.

Exit status: 0 done, 1 there is no such application, or something could not be done.`,
		Example: `  gaffer unload shop`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which application? want `%s APP`", cmd.CommandPath())
			}
			return atMost(1)(cmd, args)
		},
		ValidArgsFunction: completeApps,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			origins, err := c.Origins(cmd.Context(), gaffer.All)
			if err != nil {
				return err
			}
			if apps := loadedApps(origins); !slices.Contains(apps, args[0]) {
				return unknownApp(args[0], apps)
			}
			d := gaffer.Desired{Source: appSource + args[0], Templates: []gaffer.Template{}}
			plan, err := c.Plan(cmd.Context(), d)
			if err != nil {
				return err
			}
			return f.apply(cmd, c, d, plan)
		},
	}
	f.addWait(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print what was done as JSON")
	return cmd
}

// loadedApps are the names of applications, in natural order.
func loadedApps(origins []gaffer.Origin) []string {
	var apps []string
	for _, o := range origins {
		if app, ok := strings.CutPrefix(o.Source, appSource); ok && !slices.Contains(apps, app) {
			apps = append(apps, app)
		}
	}
	slices.SortFunc(apps, naturally)
	return apps
}

func unknownApp(name string, apps []string) error {
	if len(apps) == 0 {
		return fmt.Errorf("application %s: %w; none was loaded", name, gaffer.ErrNotFound)
	}
	return fmt.Errorf("application %s: %w; there are %s", name, gaffer.ErrNotFound, list(apps))
}

// completeApps completes the names of applications.
func completeApps(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	c, err := connect(cmd)
	if err != nil || len(given) > 0 {
		return nil, directive
	}
	origins, err := c.Origins(cmd.Context(), gaffer.All)
	if err != nil {
		return nil, directive
	}
	return loadedApps(origins), directive
}
