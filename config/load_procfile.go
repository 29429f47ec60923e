package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/dotenv"
)

// The ports of a Procfile's entries: the first one's, unless something says
// otherwise, and how far apart they are.
const (
	basePort = 5000
	portStep = 100
	maxPort  = 65535
)

// loadProcfile reads a Procfile and .env beside it.
func (l *loader) loadProcfile(path string) error {
	if l.Profile != "" {
		return fmt.Errorf("profile %s: profiles are for a gaffer.toml, not for %s: %w", l.Profile, path, gaffer.ErrInvalid)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return pathError(path, err)
	}
	src, err := l.readSource(path)
	if err != nil {
		return err
	}
	l.file.Read = append(l.file.Read, path)
	entries, faults := parseProcfile(src)
	if err := faults.err(); err != nil {
		return err
	}
	files, vars, err := l.readEnv(filepath.Join(filepath.Dir(path), ".env"))
	if err != nil {
		return err
	}
	l.file.EnvFiles = files
	base, err := l.base(vars)
	if err != nil {
		return err
	}
	for i, e := range entries {
		t := gaffer.Template{
			Name: e.Name, Cmd: e.Command, Cwd: literal(dir), EnvFiles: files,
			Shell: e.command.shell || l.splits(e.command, vars),
		}
		if !e.command.ownPort {
			t.Port = base + i*portStep
		}
		l.file.Templates = append(l.file.Templates, t)
		l.file.locate = append(l.file.locate, func(field string) spot {
			if field == "cmd" {
				return spot{src, e.commandAt}
			}
			return spot{src, e.at}
		})
	}
	if err := l.setCounts(); err != nil {
		return err
	}
	for i, t := range l.file.Templates {
		if last := t.Port + max(count(t), 1) - 1; last > maxPort {
			faults = append(faults, src.fault(entries[i].at,
				"%s would get port %d, beyond %d: each entry gets %d more than the one before, from %d; choose a lower --port",
				t.Name, last, maxPort, portStep, base))
		}
	}
	return faults.err()
}

// readEnv reads the file of variables beside the Procfile, if there is one, and
// those that were asked for.
func (l *loader) readEnv(beside string) (files []string, vars map[string]string, err error) {
	vars = map[string]string{}
	for i, path := range append([]string{beside}, l.EnvFiles...) {
		read, err := l.readEnvFile(path)
		if i == 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, nil, pathError(path, err)
		}
		files = append(files, abs)
		for name, value := range read {
			vars[name] = value
		}
	}
	return files, vars, nil
}

func (l *loader) readEnvFile(path string) (map[string]string, error) {
	data, err := l.trust.read(path)
	if err != nil {
		return nil, err
	}
	l.file.Read = append(l.file.Read, path)
	return dotenv.Parse(path, data)
}

// base is the port of the first entry.
func (l *loader) base(vars map[string]string) (int, error) {
	if l.Port != 0 {
		if l.Port < 0 || l.Port > maxPort {
			return 0, &Fault{File: "--port", Message: strconv.Itoa(l.Port) + ": want 1 to 65535"}
		}
		return l.Port, nil
	}
	text, where := vars["PORT"], "PORT in the file of variables"
	if text == "" {
		text, _ = l.environ("PORT")
		where = "PORT in the environment"
	}
	if text == "" {
		return basePort, nil
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > maxPort {
		return 0, &Fault{File: where, Message: strconv.Quote(text) + ": want a number from 1 to 65535"}
	}
	return port, nil
}

func (l *loader) environ(name string) (value string, ok bool) {
	for _, entry := range l.Environ {
		if n, v, _ := strings.Cut(entry, "="); n == name {
			return v, true
		}
	}
	return "", false
}

// splits tells whether a command that has no shell syntax needs a shell all the
// same: it names a variable outside quotes whose value is not exactly one word,
// such as `java $JAVA_OPTS -jar app.jar`.
func (l *loader) splits(c command, vars map[string]string) bool {
	for _, name := range c.split {
		value, ok := vars[name]
		if !ok {
			value, ok = l.environ(name)
		}
		if ok && name != "PORT" && (value == "" || strings.ContainsAny(value, " \t\n*?[")) {
			return true
		}
	}
	return false
}

// count is how many processes a template asks for.
func count(t gaffer.Template) int {
	if t.NumProcesses == nil {
		return 1
	}
	return *t.NumProcesses
}
