package config

import (
	"maps"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gafferpm/gaffer"
)

// parts are the tables of a tree that are for the daemon alone, as far as nothing
// is wrong with them.
type parts struct {
	daemon   *node // nil: there is none
	settings Settings
	good     bool // nothing is wrong with the settings
	webhooks []named[Webhook]
	forwards []named[Forward]
	plugins  []named[Plugin]
	files    []string // those that were read by resolve
}

// named is what the table n defines.
type named[T any] struct {
	n     *node
	value T
}

// settings decodes what is for the daemon.
func (l *loader) settings(root *node) *parts {
	d := &decoder{}
	p := &parts{settings: defaultSettings(), daemon: root.fields["daemon"]}
	if p.daemon != nil {
		d.daemon(p.daemon, &p.settings)
	}
	p.good = len(d.faults) == 0
	p.webhooks = decodeNamed(d, root, "webhook", d.webhook)
	p.forwards = decodeNamed(d, root, "forward", d.forward)
	p.plugins = decodeNamed(d, root, "plugin", d.plugin)
	l.faults = append(l.faults, d.faults...)
	l.file.parts = p
	return p
}

// decodeNamed decodes the tables below one of the top-level names. Those with a
// fault are left out.
func decodeNamed[T any](d *decoder, root *node, kind string, decode func(n *node, name string) T) (list []named[T]) {
	tables := root.fields[kind]
	if tables == nil {
		return nil
	}
	for _, name := range d.tables(tables, kind) {
		n, before := tables.fields[name], len(d.faults)
		if value := decode(n, name); len(d.faults) == before {
			list = append(list, named[T]{n, value})
		}
	}
	return list
}

func defaultSettings() Settings {
	host, _ := os.Hostname() // a node without a name is fine
	return Settings{
		Node: host, Host: HostHolder, LogFormat: "text", SocketMode: DefaultSocketMode,
		DrainTimeout: gaffer.Duration(DefaultDrainTimeout), JournalSize: DefaultJournalSize,
	}
}

// checkProfile tells what is wrong with a profile that is not chosen, as far as
// that can be told without what it is put over: names and types.
func checkProfile(n *node) Faults {
	d := &decoder{}
	if daemon := n.fields["daemon"]; daemon != nil {
		d.table(daemon, reflect.ValueOf(&Settings{}).Elem(), "daemon")
	}
	for kind, value := range map[string]func() any{
		"webhook": func() any { return &Webhook{} },
		"forward": func() any { return &Forward{} },
		"plugin":  func() any { return &Plugin{} },
	} {
		if tables := n.fields[kind]; tables != nil {
			for _, name := range d.tables(tables, kind) {
				d.private(tables.fields[name], func() {
					d.table(tables.fields[name], reflect.ValueOf(value()).Elem(), kind+"."+quotedKey(name))
				})
			}
		}
	}
	if tables := n.fields["socket"]; tables != nil {
		for _, name := range d.tables(tables, "socket") {
			d.socketTable(tables.fields[name], &gaffer.Socket{}, "socket."+quotedKey(name), "name")
		}
	}
	if tables := n.fields["process"]; tables != nil {
		for _, name := range d.tables(tables, "process") {
			d.template(tables.fields[name], &gaffer.Template{Name: name})
		}
	}
	return d.faults
}

// daemon decodes the table [daemon].
func (d *decoder) daemon(n *node, s *Settings) {
	before := len(d.faults)
	d.table(n, reflect.ValueOf(s).Elem(), "daemon")
	if len(d.faults) > before {
		return
	}
	if !isHost(s.Node) {
		d.fault(place(n, "node"), "node: %q: want letters, digits, '.', '-' or '_'", s.Node)
	}
	s.PIDFile = d.path(n, "pid_file", s.PIDFile)
	s.Socket = d.path(n, "socket", s.Socket)
	if len(s.Socket) > maxSocket {
		d.fault(place(n, "socket"), "socket: the path has %d bytes, and the system takes no more than %d", len(s.Socket), maxSocket)
	}
	if s.JournalSize < minJournalSize {
		d.fault(place(n, "journal_size"), "journal_size: want at least %s", minJournalSize)
	}
	taken := map[string]bool{}
	for i := range s.Listen {
		at := n.fields["listen"].items[i]
		d.listen(at, &s.Listen[i])
		if address := s.Listen[i].Address; taken[address] {
			d.fault(place(at, "address"), "address: %s is listened on twice", address)
		} else {
			taken[address] = true
		}
	}
}

const (
	maxSocket                  = 107 // the system's limit for the path of a unix socket
	minJournalSize gaffer.Size = 64 << 10
)

// listen checks a table [[daemon.listen]].
func (d *decoder) listen(n *node, l *Listen) {
	address, problem := listenAddress(l.Address)
	if problem != "" {
		d.fault(place(n, "address"), "address: %s", problem)
	}
	l.Address = address
	l.TLSCert = d.path(n, "tls_cert", l.TLSCert)
	l.TLSKey = d.path(n, "tls_key", l.TLSKey)
	l.ClientCA = d.path(n, "client_ca", l.ClientCA)
	switch {
	case l.TLSCert == "" && l.TLSKey != "":
		d.fault(place(n, "tls_key"), "tls_key: wants tls_cert beside it")
	case l.TLSCert != "" && l.TLSKey == "":
		d.fault(place(n, "tls_cert"), "tls_cert: wants tls_key beside it")
	case l.ClientCA != "" && l.TLSCert == "":
		d.fault(place(n, "client_ca"), "client_ca: wants tls_cert and tls_key beside it")
	case len(l.Users) > 0 && l.ClientCA == "":
		d.fault(place(n, "users"), "users: wants client_ca beside it: they are known by their certificates")
	}
	for i, host := range l.Hosts {
		if !isHost(host) && net.ParseIP(host) == nil {
			d.fault(place(n, "hosts."+strconv.Itoa(i)), "hosts: %q: want the name of a host, without a port", host)
		}
	}
	for i, origin := range l.Origins {
		if !isOrigin(origin) {
			d.fault(place(n, "origins."+strconv.Itoa(i)), `origins: %q: want an origin such as "https://ops.example.com"`, origin)
		}
	}
}

// listenAddress completes HOST:PORT, :PORT or PORT.
func listenAddress(text string) (address, problem string) {
	if text == "" {
		return "", `is required, such as "127.0.0.1:7777"`
	}
	if isNumber(text) {
		text = ":" + text
	}
	host, port, err := net.SplitHostPort(text)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || host != "" && !isHost(host) && net.ParseIP(strings.SplitN(host, "%", 2)[0]) == nil {
		return "", strconv.Quote(text) + `: want HOST:PORT, such as "127.0.0.1:7777"`
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), ""
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// isHost tells whether s can be the name of a host.
func isHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_')
	})
}

func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == s
}

// path is a setting that is a path, relative to the file that it stands in.
func (d *decoder) path(n *node, field, path string) string {
	child := n.fields[field]
	if child == nil {
		return path
	}
	if path == "" {
		d.fault(child.at, "%s: is empty; want a path", field)
		return ""
	}
	if strings.ContainsRune(path, 0) {
		d.fault(child.at, "%s: has a NUL byte", field)
	}
	return absolute(child.key.src.dir, path)
}

// plugin decodes a table [plugin.NAME].
func (d *decoder) plugin(n *node, name string) Plugin {
	p := Plugin{Name: name}
	before := len(d.faults)
	d.table(n, reflect.ValueOf(&p).Elem(), "plugin."+quotedKey(name))
	if err := checkWord("plugin", name); err != nil {
		d.fault(n.key, "%v", err)
	}
	p.Dir = d.path(n, "dir", p.Dir)
	if len(d.faults) == before && p.Dir == "" {
		d.fault(n.key, "dir: is required")
	}
	return p
}

// sortedKeys are the keys of a map, in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
