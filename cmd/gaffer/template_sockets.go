package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

// addSockets adds the flag for sockets. The first one takes the place of those that the
// template has.
func (f *templateFlags) addSockets(cmd *cobra.Command) {
	first := true
	cmd.Flags().Func("socket", "listening `socket` to open and pass on, as NAME=ADDRESS, with more behind it as web=unix:///run/web.sock,mode=0660; can be repeated", func(s string) error {
		anew := first
		first = false
		socket, err := parseSocket(s)
		f.change(func(t *gaffer.Template) {
			if anew {
				t.Sockets = nil
			}
			t.Sockets = append(t.Sockets, socket)
		})
		return err
	})
	f.truth(cmd, "on-demand", "start it at the first connection on one of its sockets", func(t *gaffer.Template, on bool) { t.OnDemand = on })
	cmd.Flags().Func("idle-timeout", "`time` without connections after which what was started on demand is stopped (default never)", func(s string) error {
		var d gaffer.Duration
		f.change(func(t *gaffer.Template) { t.IdleTimeout = &d })
		return d.UnmarshalText([]byte(s))
	})
}

func parseSocket(s string) (gaffer.Socket, error) {
	name, rest, found := strings.Cut(s, "=")
	if !found {
		return gaffer.Socket{}, fmt.Errorf("want NAME=ADDRESS, such as web=127.0.0.1:8080")
	}
	listen, more, found := strings.Cut(rest, ",")
	socket := gaffer.Socket{Name: name, Listen: listen}
	if !found {
		return socket, socket.Validate()
	}
	fields := map[string]any{}
	for part := range strings.SplitSeq(more, ",") {
		field, value, found := strings.Cut(part, "=")
		if !found || value == "" {
			return socket, fmt.Errorf("%s: want NAME=VALUE", part)
		}
		fields[field] = value
		if field == "backlog" {
			n, err := strconv.Atoi(value)
			if err != nil {
				return socket, fmt.Errorf("backlog: want a number")
			}
			fields[field] = n
		}
	}
	fields["name"], fields["listen"] = name, listen
	text, err := json.Marshal(fields)
	if err != nil {
		return socket, err
	}
	if err := checkTable[gaffer.Socket](text); err != nil {
		return socket, err
	}
	if err := decodeTable(text, &socket); err != nil {
		return socket, err
	}
	return socket, socket.Validate()
}

// socketsOf are the sockets of a template, for people.
func socketsOf(t gaffer.Template) string {
	var all []string
	for _, s := range t.Sockets {
		all = append(all, s.Name+" at "+s.Listen)
	}
	return strings.Join(all, ", ")
}
