package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// A file has its sockets in tables such as [socket.web], to which templates refer by
// name. A template that was read has the socket itself.

// fileSockets decodes the tables below socket.
func (d *decoder) fileSockets(root *node) {
	d.sockets = map[string]*gaffer.Socket{}
	tables := root.fields["socket"]
	if tables == nil {
		return
	}
	for _, name := range d.tables(tables, "socket") {
		n, before := tables.fields[name], len(d.faults)
		s := &gaffer.Socket{}
		d.socketTable(n, s, "socket."+quotedKey(name), "name")
		s.Name = name
		if len(d.faults) == before {
			for _, err := range leaves(s.Validate()) {
				d.faults = append(d.faults, fieldFault(err, locate(n)))
			}
		}
		if len(d.faults) > before {
			s = nil // templates that refer to it are not wrong
		}
		d.sockets[name] = s
	}
}

// socketTable decodes one. A relative path is relative to the file.
func (d *decoder) socketTable(n *node, s *gaffer.Socket, where string, skip ...string) {
	if own := n.fields["name"]; own != nil && len(skip) > 0 {
		d.fault(own.key, "unknown field name in %s; the name is the table's", where)
		n.remove("name")
	}
	d.table(n, reflect.ValueOf(s).Elem(), where, skip...)
	for _, scheme := range []string{"unix", "unixgram", "unixpacket"} {
		path, found := strings.CutPrefix(s.Listen, scheme+":")
		path = strings.TrimPrefix(path, "//")
		if found && path != "" && !strings.HasPrefix(path, "@") && !filepath.IsAbs(path) {
			s.Listen = scheme + "://" + filepath.Join(n.fields["listen"].key.src.dir, path)
		}
	}
}

// socketOf decodes an element of a template's sockets: a name, or a table of its own.
func (d *decoder) socketOf(n *node, s *gaffer.Socket, name string) {
	switch {
	case n.kind == unstable.Table:
		d.socketTable(n, s, name)
	case !d.want(n, name, "the name of a socket in quotes, or a table of its own", unstable.String):
	case d.sockets == nil: // of a profile that is not chosen
		s.Name = n.text
	default:
		d.refer(n, s)
	}
}

func (d *decoder) refer(n *node, s *gaffer.Socket) {
	known, there := d.sockets[n.text]
	switch {
	case !there:
		hint := fmt.Sprintf("; want a table such as [socket.%s] with listen = \"127.0.0.1:8080\"", quotedKey(n.text))
		if k := nearest.Name(n.text, sortedKeys(d.sockets)); k != "" {
			hint = "; did you mean " + k + "?"
		}
		d.fault(n.at, "sockets: there is no socket %s%s", quotedKey(n.text), hint)
	case known == nil:
		*s = gaffer.Socket{Name: n.text, Listen: "unix:@" + n.text} // its own table is wrong
	default:
		*s = *known
	}
}

// writeSockets writes a table for each name of a socket that means one socket in all
// templates, and says which these are.
func writeSockets(b *bytes.Buffer, templates []gaffer.Template, errs *[]error) map[string]gaffer.Socket {
	named, several := map[string]gaffer.Socket{}, map[string]bool{}
	var names []string
	for i := range templates {
		for _, s := range templates[i].Sockets {
			known, there := named[s.Name]
			switch {
			case !there:
				named[s.Name] = s
				names = append(names, s.Name)
			case known != s:
				several[s.Name] = true
			}
		}
	}
	for _, name := range names {
		s := named[name]
		if several[name] {
			delete(named, name)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		w := tomlWriter{b: b, table: "socket." + quotedKey(name)}
		w.header()
		w.fields(reflect.ValueOf(&s).Elem(), "name")
		for _, err := range w.errs {
			*errs = append(*errs, fmt.Errorf("socket %s: %w", name, err))
		}
	}
	return named
}

// inlineTable writes a struct on one line; a socket that has a table, as its name.
func (w *tomlWriter) inlineTable(v reflect.Value, name string) {
	if s, ok := v.Interface().(gaffer.Socket); ok && w.named[s.Name] == s {
		w.text(s.Name, name)
		return
	}
	w.b.WriteString("{ ")
	names, index := fields(v.Type())
	first := true
	for _, field := range names {
		f := v.Field(index[field])
		if unset(f) {
			continue
		}
		if !first {
			w.b.WriteString(", ")
		}
		first = false
		w.b.WriteString(field + " = ")
		w.value(f, name+"."+field)
	}
	w.b.WriteString(" }")
}
