package forward

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gafferpm/gaffer"
)

// Type is what a destination understands.
type Type string

// The types.
const (
	Syslog   Type = "syslog"   // RFC 5424
	Journald Type = "journald" // systemd's journal, on this host
	Loki     Type = "loki"     // Grafana Loki's push API
	OTLP     Type = "otlp"     // OpenTelemetry's logs, as JSON over HTTP
)

// Types are all types.
func Types() []Type { return []Type{Syslog, Journald, Loki, OTLP} }

// Destination says which lines are forwarded, and where to.
type Destination struct {
	// Name tells destinations apart. Required.
	Name string
	// Type is what it understands. Required.
	Type Type
	// URL is where it is. For syslog udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or
	// unix:///PATH, the port being 514, 601 and 6514 unless given; for journald
	// unix:///PATH, which is the journal's own socket unless given; for loki and otlp http
	// or https, with the usual path unless there is one. It may hold a secret: only its
	// host is shown.
	URL string
	// Target is whose lines are forwarded. Default: all.
	Target gaffer.Target
	// Streams are which, by label. None means all.
	Streams []string
	// Labels go with each line: as labels (loki), attributes of the resource (otlp),
	// structured data (syslog) or fields (journald).
	Labels map[string]string
	// Headers are added to each request (loki, otlp).
	Headers map[string]string
	// Facility is that of syslog and of the journal. Default: daemon.
	Facility string
	// Timeout is how long one connection, write or request may take. Default: 10s.
	Timeout time.Duration
	// CA are certificates in PEM that are trusted instead of the system's.
	CA []byte
}

// The defaults of a Destination.
const (
	DefaultFacility = "daemon"
	DefaultTimeout  = 10 * time.Second
	// JournalSocket is where systemd's journal takes entries.
	JournalSocket = "/run/systemd/journal/socket"
)

// facilities are those of RFC 5424, table 1, by the names that syslog.conf has for them.
var facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "security", "console", "solaris-cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// Facilities are the names that Facility can have.
func Facilities() []string { return slices.Clone(facilities) }

// usual says what of a URL may be left out.
var usual = map[Type]struct{ schemes, ports []string }{
	Syslog:   {[]string{"udp", "tcp", "tls", "unix"}, []string{"514", "601", "6514", ""}},
	Journald: {[]string{"unix"}, []string{""}},
	Loki:     {[]string{"http", "https"}, []string{"", ""}},
	OTLP:     {[]string{"http", "https"}, []string{"", ""}},
}

var usualPaths = map[Type]string{Loki: "/loki/api/v1/push", OTLP: "/v1/logs"}

// withDefaults is the destination with what was left out, a copy that shares nothing.
func (d Destination) withDefaults() Destination {
	if d.Target == "" {
		d.Target = gaffer.All
	}
	if d.Timeout <= 0 {
		d.Timeout = DefaultTimeout
	}
	if d.Facility == "" {
		d.Facility = DefaultFacility
	}
	if d.Type == Journald && d.URL == "" {
		d.URL = "unix://" + JournalSocket
	}
	if u, err := url.Parse(d.URL); err == nil {
		if i := slices.Index(usual[d.Type].schemes, u.Scheme); i >= 0 && u.Port() == "" && usual[d.Type].ports[i] != "" && u.Hostname() != "" {
			u.Host = net.JoinHostPort(u.Hostname(), usual[d.Type].ports[i])
		}
		if path := usualPaths[d.Type]; path != "" && strings.Trim(u.Path, "/") == "" {
			u.Path = path
		}
		d.URL = u.String()
	}
	d.Streams, d.Labels, d.Headers, d.CA = slices.Clone(d.Streams), maps.Clone(d.Labels), maps.Clone(d.Headers), slices.Clone(d.CA)
	return d
}

// CheckURL tells what is wrong with a URL for a type, without anything of it.
func CheckURL(t Type, text string) error {
	if t == Journald && text == "" {
		return nil
	}
	known := usual[t].schemes
	u, err := url.Parse(text)
	if err != nil || !slices.Contains(known, u.Scheme) {
		return fmt.Errorf("want %s", wanted(t))
	}
	switch {
	case u.User != nil && (t == Loki || t == OTLP):
		return errors.New("has a user in it; want an Authorization among the headers")
	case u.User != nil:
		return errors.New("has a user in it, which it can't have")
	case u.Scheme == "unix" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")):
		return errors.New(`want an absolute path, as "unix:///dev/log"`)
	case u.Scheme != "unix" && u.Hostname() == "":
		return fmt.Errorf("names no host; want %s", wanted(t))
	case u.Port() != "" && !isPort(u.Port()):
		return errors.New("has a port that is none; want 1 to 65535")
	case t == Syslog && u.Scheme != "unix" && strings.Trim(u.Path, "/") != "":
		return errors.New("has a path in it, which it can't have")
	}
	return nil
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && n < 1<<16
}

func wanted(t Type) string {
	switch t {
	case Syslog:
		return `udp, tcp or tls, as "tls://logs.example.com", or "unix:///dev/log"`
	case Journald:
		return `a socket, as "unix://` + JournalSocket + `"`
	}
	return `a URL such as "https://logs.example.com"`
}

// CheckLabel tells what is wrong with the name of a label: it must do for Loki, and as
// that of a field or of structured data.
func CheckLabel(name string) error {
	ok := name != "" && len(name) <= 32 && !strings.HasPrefix(name, "__")
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		ok = ok && (letter || i > 0 && c >= '0' && c <= '9')
	}
	if !ok {
		return errors.New("want letters, digits and _, at most 32, as Loki's labels have")
	}
	if slices.Contains(ownLabels, name) {
		return errors.New("is set by gaffer itself")
	}
	return nil
}

// ownLabels are those that say where a line comes from.
var ownLabels = []string{"name", "slot", "stream", "id", "host", "time"}

// check tells what is wrong with a destination. Nothing of its URL is in the message.
func (d *Destination) check() error {
	var problems []error
	if !slices.Contains(Types(), d.Type) {
		problems = append(problems, fmt.Errorf("type %q: want one of %v", d.Type, Types()))
	} else if err := CheckURL(d.Type, d.URL); err != nil {
		problems = append(problems, fmt.Errorf("url: %w", err))
	}
	if err := d.Target.Check(); err != nil {
		problems = append(problems, err)
	}
	if !slices.Contains(facilities, d.Facility) {
		problems = append(problems, fmt.Errorf("facility %q: want one of %v", d.Facility, facilities))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Labels)) {
		if err := CheckLabel(name); err != nil {
			problems = append(problems, fmt.Errorf("label %q: %w", name, err))
		}
		if !utf8.ValidString(d.Labels[name]) {
			problems = append(problems, fmt.Errorf("label %q: is no UTF-8", name))
		}
	}
	if len(d.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(d.CA) {
		problems = append(problems, errors.New("ca: no certificate in PEM"))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("forward %s: %w: %w", d.Name, errors.Join(problems...), gaffer.ErrInvalid)
}

// shown is the URL without what may be secret in it.
func (d *Destination) shown() string {
	u, err := url.Parse(d.URL)
	switch {
	case err != nil:
		return ""
	case u.Scheme == "unix":
		return "unix://" + u.Path
	case u.RawQuery != "" || u.Path != "" && u.Path != usualPaths[d.Type]:
		return u.Scheme + "://" + u.Host + "/…"
	}
	return u.Scheme + "://" + u.Host
}
