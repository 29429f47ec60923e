package main

import (
	"fmt"
	"strings"

	"github.com/gafferpm/gaffer"
)

// exportedSockets are the sockets of templates, each of which becomes a unit.
type exportedSockets struct {
	list  []gaffer.Socket
	names map[gaffer.Socket]string // of their units
	first map[gaffer.Socket]string // the service that is started by them
}

func exportSockets(templates []gaffer.Template) *exportedSockets {
	e := &exportedSockets{names: map[gaffer.Socket]string{}, first: map[gaffer.Socket]string{}}
	taken := map[string]bool{}
	for _, t := range templates {
		for _, s := range t.Sockets {
			if e.names[s] != "" {
				continue
			}
			name := s.Name
			if taken[name] { // another one is called so
				name = strings.ReplaceAll(t.Name, ":", "-") + "-" + name
			}
			taken[name] = true
			e.names[s], e.list = name+".socket", append(e.list, s)
		}
	}
	return e
}

// of are the units of a template's sockets.
func (e *exportedSockets) of(t *gaffer.Template) string {
	var names []string
	for _, s := range t.Sockets {
		names = append(names, e.names[s])
	}
	return strings.Join(names, " ")
}

// usedBy notes a service of a template.
func (e *exportedSockets) usedBy(t *gaffer.Template, service string) {
	for _, s := range t.Sockets {
		if e.first[s] == "" {
			e.first[s] = service
		}
	}
}

func (e *exportedSockets) units() (units []unit) {
	for _, s := range e.list {
		var b strings.Builder
		line := func(name, value string) {
			if value != "" {
				fmt.Fprintf(&b, "%s=%s\n", name, value)
			}
		}
		b.WriteString("[Unit]\n")
		line("PartOf", systemdTarget)
		b.WriteString("\n[Socket]\n")
		kind, address, only := systemdAddress(s.Listen)
		line(kind, specifiers(address))
		line("BindIPv6Only", only)
		line("FileDescriptorName", s.Name)
		line("Service", e.first[s])
		if strings.HasPrefix(s.Listen, "unix") && !strings.HasPrefix(address, "@") {
			mode := s.Mode
			if mode == 0 {
				mode = 0o600
			}
			line("SocketMode", mode.String())
			line("SocketUser", string(s.UID))
			line("SocketGroup", string(s.GID))
			line("RemoveOnStop", "yes")
		}
		if s.Backlog > 0 {
			line("Backlog", fmt.Sprint(s.Backlog))
		}
		units = append(units, unit{e.names[s], b.String()})
	}
	return units
}

// systemdAddress is an address as systemd has it.
func systemdAddress(listen string) (kind, address, only string) {
	network, rest, found := strings.Cut(listen, ":")
	switch kind = "ListenStream"; network {
	case "udp", "unixgram":
		kind = "ListenDatagram"
	case "unixpacket":
		kind = "ListenSequentialPacket"
	case "tcp", "unix":
	default:
		rest, found = listen, false
	}
	if found {
		rest = strings.TrimPrefix(rest, "//")
	}
	if strings.HasPrefix(network, "unix") {
		return kind, rest, ""
	}
	if port, all := strings.CutPrefix(rest, ":"); all {
		return kind, port, "both"
	}
	if strings.HasPrefix(rest, "[") {
		only = "ipv6-only"
	}
	return kind, strings.Replace(rest, "localhost:", "127.0.0.1:", 1), only
}
