package config

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// The types of settings that read themselves. Their errors become faults, which
// say what field they are about.

// Mode is the permissions of a file, written in octal: "0660".
type Mode = gaffer.Mode

// Role is what somebody may do: viewer, operator or admin.
type Role string

var roles = []string{"viewer", "operator", "admin"}

// UnmarshalText accepts the name of a role.
func (r *Role) UnmarshalText(b []byte) error { return oneOf((*string)(r), b, "role", roles) }

// Host is what the daemon's services are children of.
type Host string

// The hosts.
const (
	HostHolder Host = "holder"
	HostDirect Host = "direct"
)

var hosts = []string{string(HostHolder), string(HostDirect)}

// UnmarshalText accepts the name of a host.
func (h *Host) UnmarshalText(b []byte) error { return oneOf((*string)(h), b, "host", hosts) }

// LogFormat is how the daemon writes its log: text or json.
type LogFormat string

var logFormats = []string{"text", "json"}

// UnmarshalText accepts the name of a format.
func (f *LogFormat) UnmarshalText(b []byte) error {
	return oneOf((*string)(f), b, "log format", logFormats)
}

// LogLevel is the least that is logged: debug, info, warn or error.
type LogLevel slog.Level

var (
	logLevelNames = []string{"debug", "info", "warn", "error"}
	logLevels     = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
)

// UnmarshalText accepts the name of a level.
func (l *LogLevel) UnmarshalText(b []byte) error {
	var name string
	if err := oneOf(&name, b, "log level", logLevelNames); err != nil {
		return err
	}
	*l = LogLevel(logLevels[slices.Index(logLevelNames, name)])
	return nil
}

// Level implements slog.Leveler.
func (l LogLevel) Level() slog.Level { return slog.Level(l) }

// oneOf sets p to a text that is one of those known.
func oneOf(p *string, b []byte, what string, known []string) error {
	if name := string(b); slices.Contains(known, name) {
		*p = name
		return nil
	}
	return fmt.Errorf("%q: unknown %s%s", b, what, nearest.Hint(string(b), known))
}

// Secret is a text that is not shown. Printed, logged or marshalled it is "***".
type Secret string

const hidden = "***"

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the text from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText hides the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal is the text itself.
func (s Secret) Reveal() string { return string(s) }
