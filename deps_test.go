package gaffer_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gafferpm/gaffer"

// imports says, for each package of the module (by its folder), what it may
// import beside the standard library, and why. Arrows point down: cmd, then the
// adapters, then the library, then internal. Adapters never import each other,
// the library never imports an adapter.
var imports = map[string]map[string]string{
	".": {
		module + "/internal/dotenv":   "env_files of a template",
		module + "/internal/output":   "tails and followers of what processes write",
		module + "/internal/probe":    "asking whether something answers",
		module + "/internal/proc":     "starting, signalling and noticing the end of processes",
		module + "/internal/pubsub":   "delivery of events",
		module + "/internal/schedule": "when a scheduled template is due",
	},
	"api": {
		module:                             "what it serves",
		module + "/api/internal/feed":      "what goes on until one of the two ends it",
		module + "/api/internal/peer":      "who is at the other end of a unix socket",
		module + "/internal/nearest":       "what a misspelt member was meant to be",
		"github.com/danielgtaylor/huma/v2": "the document and the checks of bodies, of the Go types",
	},
	"api/internal/feed": {
		module:                       "it serves any Controller's streams",
		"github.com/coder/websocket": "the two-way connection to a process",
	},
	"api/internal/peer": {
		"golang.org/x/sys/unix": "SO_PEERCRED",
	},
	"bench": {
		module:                             "templates of the programs that a daemon is measured with",
		module + "/client":                 "how a daemon is asked",
		module + "/bench/internal/machine": "processes, what they use, and how quiet the machine is",
		module + "/bench/internal/program": "the programs that take part",
		module + "/bench/internal/report":  "figures and tables",
		"golang.org/x/sys/unix":            "pidfds",
	},
	"bench/daemon": {
		module + "/bench/internal/machine": "processes, what they use, and how quiet the machine is",
		module + "/bench/internal/program": "the programs that take part",
		module + "/bench/internal/report":  "figures and tables",
	},
	"bench/daemon/bare":  {}, // what the API is compared with
	"bench/daemon/empty": {}, // what gaffer ps is compared with
	"bench/internal/machine": {
		"golang.org/x/sys/unix": "pidfds, clocks of other processes",
	},
	"bench/internal/program": {
		"golang.org/x/sys/unix": "a mapped file",
	},
	"bench/internal/report": {
		module + "/bench/internal/machine": "when a machine is quiet",
	},
	"client": {
		module:                       "what it stands for",
		"github.com/coder/websocket": "the way into a process, and to a command",
	},
	"cmd/gaffer": {
		module:                                        "what it runs",
		module + "/api":                               "the daemon's API",
		module + "/client":                            "asking a daemon",
		module + "/config":                            "gaffer.toml and Procfile",
		module + "/internal/nearest":                  "what a misspelt command was meant to be",
		module + "/internal/console":                  "what a person sees",
		module + "/internal/holder":                   "the daemon's other processes",
		module + "/internal/logs":                     "what the daemon's services write",
		module + "/internal/schedule":                 "the times of a schedule as systemd writes them",
		module + "/internal/proc":                     "gaffer run becomes the command; what is found of an earlier daemon",
		module + "/state":                             "what the daemon keeps",
		module + "/webhook":                           "who is told of events",
		module + "/autoscale":                         "numbers of processes that change with the work",
		module + "/watch":                             "restarts when files change",
		module + "/forward":                           "who is sent lines",
		"github.com/coreos/go-systemd/v22/activation": "sockets that systemd has opened",
		"github.com/coreos/go-systemd/v22/daemon":     "what systemd is told, and its watchdog",
		"github.com/spf13/cobra":                      "commands, flags, help and completion",
		"github.com/spf13/pflag":                      "what flags there are, for help and manual pages",
	},
	"config": {
		module:                                     "templates are what it makes",
		module + "/forward":                        "what a destination of lines may be",
		module + "/internal/dotenv":                ".env beside a Procfile",
		module + "/internal/nearest":               "what a misspelt name was meant to be",
		"github.com/pelletier/go-toml/v2":          "gaffer.toml",
		"github.com/pelletier/go-toml/v2/unstable": "where in gaffer.toml each key stands",
		"golang.org/x/sys/unix":                    "walking a path with each directory held open",
		"mvdan.cc/sh/v3/syntax":                    "whether a Procfile's command needs a shell",
	},
	"examples/app":       {module: "it shows the library"},
	"examples/autoscale": {module: "it shows the library"},
	"examples/embed":     {module: "it shows the library"},
	"examples/shop":      {}, // its test
	"examples/shop/web":  {},
	"gaffertest":         {module: "the Controllers that it tries"},
	"internal/console": {
		module:                  "it prints events and output",
		"golang.org/x/sys/unix": "whether it is a terminal, and how wide",
	},
	"internal/dotenv": {
		"github.com/joho/godotenv": "the rules of .env files",
	},
	"internal/holder": {
		module + "/internal/proc": "what it holds, and how that is started and found",
		"golang.org/x/sys/unix":   "descriptors that are passed, pidfds",
	},
	"internal/logs": {
		"github.com/klauspost/compress/zstd": "files that are written no more",
		"golang.org/x/sys/unix":              "reading that is done once, whoever is killed",
	},
	"internal/nearest": {},
	"internal/output": {
		module + "/internal/pubsub": "delivery to followers",
	},
	"internal/probe": {},
	"internal/proc": {
		"github.com/creack/pty": "terminals, on systems other than Linux",
		"golang.org/x/sys/unix": "the system calls that the standard library lacks",
	},
	"internal/pubsub": {},
	"internal/schedule": {
		"github.com/netresearch/go-cron": "cron expressions, and the days on which they hold",
	},
	"internal/tend": {module: "templates, and the manager that has them"},
	"forward":       {module: "lines, and the manager that has them"},
	"autoscale": {
		module:                    "templates, and the manager that has them",
		module + "/internal/tend": "templates that come, change and go",
	},
	"webhook": {module: "events, and the manager that has them"},
	"watch": {
		module:                             "templates, and the manager that has them",
		module + "/internal/tend":          "templates that come, change and go",
		"github.com/bmatcuk/doublestar/v4": "patterns with **",
		"github.com/fsnotify/fsnotify":     "changes of files, as each system tells of them",
	},
	"state": {
		module:                    "what is kept, planned and applied",
		"go.etcd.io/bbolt":        "what is wanted, on the disk before it is acknowledged",
		"go.etcd.io/bbolt/errors": "whether a database is damaged",
	},
}

// testImports is what the tests of any package may import in addition.
var testImports = map[string]string{
	"github.com/bmatcuk/doublestar/v4": "whether what is accepted is a pattern",
	"github.com/fsnotify/fsnotify":     "what the system may refuse",
	"github.com/google/go-cmp":         "differences that can be read",
	"github.com/prometheus":            "whether metrics are as its programs want them",
	"github.com/rogpeppe/go-internal":  "scripts for commands",
	"go.uber.org/goleak":               "goroutines left behind",
	"github.com/klauspost/compress":    "log files that are compressed",
	"golang.org/x/sys/unix":            "faults that only system calls can make",
	"pgregory.net/rapid":               "random operations",
	"github.com/gafferpm/gaffer":       "the package under test, from outside",
	"github.com/creack/pty":            "terminals at which somebody sits",
}

func TestImportsAreThoseOfTheTable(t *testing.T) {
	used := make(map[string]map[string]bool)
	for _, f := range goFiles(t) {
		folder := filepath.ToSlash(filepath.Dir(f))
		allowed, known := imports[folder]
		if !known {
			t.Errorf("%s: the package is not in the table of allowed imports; add it with what it may import and why", f)
			continue
		}
		if used[folder] == nil {
			used[folder] = make(map[string]bool)
		}
		test := strings.HasSuffix(f, "_test.go")
		for _, p := range importsOf(t, f) {
			if standard(p) {
				continue
			}
			if !test {
				used[folder][p] = true
			}
			if allowed[p] == "" && (!test || !allowedInTests(p)) {
				t.Errorf("%s imports %s, which the table of allowed imports does not list for %s", f, p, folder)
			}
		}
	}
	for folder, allowed := range imports {
		if used[folder] == nil {
			t.Errorf("the table of allowed imports lists %s, which is no package", folder)
			continue
		}
		for _, p := range slices.Sorted(maps.Keys(allowed)) {
			if !used[folder][p] {
				t.Errorf("the table of allowed imports lists %s for %s, which does not import it", p, folder)
			}
		}
	}
}

// goFiles lists all Go files of the module, for whatever system they are.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != "." && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(name, ".go") {
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func importsOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, spec := range parsed.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, p)
	}
	return out
}

// standard tells the standard library by its first element, which has no dot.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}

// allowedInTests also allows the packages below those of the table.
func allowedInTests(p string) bool {
	for ; p != "."; p = path.Dir(p) {
		if testImports[p] != "" {
			return true
		}
	}
	return false
}
