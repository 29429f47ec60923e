package config

import (
	"encoding"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// decoder turns nodes into Go values by their toml tags. It goes on after a
// fault, so that one run shows all of them.
type decoder struct {
	faults Faults
	// sockets are those of the file by their names, to which templates refer; nil: what
	// they are is not known. Those that are wrong are nil.
	sockets map[string]*gaffer.Socket
}

func (d *decoder) fault(at spot, format string, a ...any) {
	d.faults = append(d.faults, at.src.fault(at.span, format, a...))
}

// fields of a struct by their names in the file, in order.
func fields(t reflect.Type) (names []string, index map[string]int) {
	index = map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ",")
		if name == "" || name == "-" {
			continue
		}
		names = append(names, name)
		index[name] = i
	}
	return names, index
}

// table decodes a table into a struct. where is how messages call the table;
// skip are names that mean nothing here.
func (d *decoder) table(n *node, v reflect.Value, where string, skip ...string) {
	names, index := fields(v.Type())
	for _, s := range skip {
		delete(index, s)
	}
	known := names[:0:0]
	for _, name := range names {
		if _, ok := index[name]; ok {
			known = append(known, name)
		}
	}
	for _, key := range n.keys {
		child := n.fields[key]
		i, ok := index[key]
		if !ok {
			d.fault(child.key, "unknown field %s in %s%s", quotedKey(key), where, nearest.Hint(key, known))
			continue
		}
		d.value(child, v.Field(i), key)
	}
}

// value decodes a node into v. name is the field's, for messages.
func (d *decoder) value(n *node, v reflect.Value, name string) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch p := v.Addr().Interface().(type) {
	case *gaffer.Args:
		d.args(n, p, name)
		return
	case *gaffer.Socket:
		d.socketOf(n, p, name)
		return
	case *gaffer.Command:
		if n.kind == unstable.String {
			p.Cmd = n.text
		} else if d.want(n, name, "a command in quotes, or a table", unstable.Table, unstable.String) {
			d.table(n, v, name)
		}
		return
	case encoding.TextUnmarshaler:
		d.text(n, p, name)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if d.want(n, name, "a table", unstable.Table) {
			d.table(n, v, name)
		}
	case reflect.Map:
		d.textMap(n, v, name)
	case reflect.Slice:
		d.list(n, v, name)
	default:
		d.scalar(n, v, name)
	}
}

func (d *decoder) scalar(n *node, v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.String:
		if d.want(n, name, "a text in quotes", unstable.String) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if d.want(n, name, "true or false", unstable.Bool) {
			v.SetBool(n.text == "true")
		}
	case reflect.Int:
		if !d.want(n, name, "a whole number", unstable.Integer) {
			return
		}
		i, err := strconv.ParseInt(number(n.text), 0, strconv.IntSize)
		if err != nil {
			d.fault(n.at, "%s: %s is out of range", name, n.text)
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		if !d.want(n, name, "a number", unstable.Integer, unstable.Float) {
			return
		}
		f, err := strconv.ParseFloat(number(n.text), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			d.fault(n.at, "%s: want a number, not %s", name, n.text)
			return
		}
		v.SetFloat(f)
	default:
		// A new kind of field needs its case here; a test decodes every field.
		d.fault(n.at, "%s: gaffer cannot read a field of type %s", name, v.Type())
	}
}

// text decodes what reads itself: a duration, a signal, an account. All of them
// take a number as well.
func (d *decoder) text(n *node, p encoding.TextUnmarshaler, name string) {
	text := n.text
	_, octal := p.(*Mode) // 660 as a number is another one
	switch {
	case n.kind == unstable.Integer && !octal:
		if i, err := strconv.ParseInt(number(text), 0, 64); err == nil {
			text = strconv.FormatInt(i, 10)
		}
	case n.kind == unstable.Float:
		if _, ok := p.(*gaffer.Duration); !ok {
			d.want(n, name, "a text in quotes, or a whole number", unstable.String)
			return
		}
		text = number(text)
	case !d.want(n, name, expected(p), unstable.String):
		return
	}
	if err := p.UnmarshalText([]byte(text)); err != nil {
		d.fault(n.at, "%s: %v", name, err)
	}
}

// expected says what a field that reads itself takes.
func expected(p encoding.TextUnmarshaler) string {
	switch p.(type) {
	case *gaffer.Duration:
		return `a duration such as "1.5s", or a number of seconds`
	case *gaffer.Signal:
		return `a signal such as "SIGTERM", or its number`
	case *gaffer.Account:
		return "a name in quotes, or a number"
	case *gaffer.Rlimit:
		return `a number, a size or "unlimited"; a soft and a hard one as "1024:65536"`
	case *gaffer.Size:
		return `a size such as "10MiB", or a number of bytes`
	case *Mode:
		return `octal digits in quotes, such as "0660"`
	}
	return "a text in quotes"
}

// args decodes a list of texts, or one text that is split into words.
func (d *decoder) args(n *node, p *gaffer.Args, name string) {
	if n.kind != unstable.String {
		if d.want(n, name, `a list of texts, or one text`, unstable.Array) {
			d.list(n, reflect.ValueOf(p).Elem(), name)
		}
		return
	}
	words, err := gaffer.SplitWords(n.text)
	if err != nil {
		d.fault(n.at, "%s: %v", name, err)
		return
	}
	*p = words
}

func (d *decoder) list(n *node, v reflect.Value, name string) {
	what := "a list of texts"
	if v.Type().Elem().Kind() == reflect.Struct {
		what = "tables such as [[daemon." + name + "]]"
		if v.Type().Elem() == reflect.TypeFor[gaffer.StopStep]() {
			what = `a list of tables such as { signal = "SIGTERM", wait = "10s" }`
		}
	}
	if v.Type().Elem() == reflect.TypeFor[gaffer.Socket]() {
		what = "a list of names of sockets"
	}
	if !d.want(n, name, what, unstable.Array) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		d.value(item, v.Index(i), name)
	}
}

func (d *decoder) textMap(n *node, v reflect.Value, name string) {
	if !d.want(n, name, "a table of texts", unstable.Table) {
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.keys)))
	for _, key := range n.keys {
		child, text := n.fields[key], reflect.New(v.Type().Elem()).Elem()
		d.value(child, text, name+"."+quotedKey(key))
		v.SetMapIndex(reflect.ValueOf(key), text)
	}
}

// want tells whether n is of one of the kinds, and notes a fault if it is not.
func (d *decoder) want(n *node, name, what string, kinds ...unstable.Kind) bool {
	for _, k := range kinds {
		if n.kind == k {
			return true
		}
	}
	hint := ""
	if n.tables {
		if example := examples[name]; example != "" {
			name += "." + example
		}
		d.fault(n.key, "[[…]] is a list of tables, and nothing here is one; write [%s]", name)
		return false
	}
	switch {
	case kinds[0] == unstable.String && (n.kind == unstable.Integer || n.kind == unstable.Float || n.kind == unstable.Bool):
		hint = `: write "` + n.text + `"`
	case kinds[0] != unstable.String && n.kind == unstable.String:
		hint = ", without quotes"
	}
	if kinds[0] == unstable.Array || kinds[0] == unstable.Table {
		hint = ""
	}
	at := n.at
	if at.to <= at.from {
		at = n.key
	}
	d.fault(at, "%s: want %s, not %s%s", name, what, kindWord(n.kind), hint)
	return false
}

func kindWord(k unstable.Kind) string {
	switch k {
	case unstable.Table:
		return "a table"
	case unstable.Array:
		return "a list"
	case unstable.String:
		return "a text"
	case unstable.Bool:
		return "true or false"
	case unstable.Integer, unstable.Float:
		return "a number"
	}
	return "a date"
}

// number takes out what TOML allows in numbers and Go does not without a base.
func number(s string) string { return strings.TrimPrefix(strings.ReplaceAll(s, "_", ""), "+") }

// place finds where the field that path names is in the file, or else what is
// around it.
func place(n *node, path string) spot {
	at := n.key
	for path != "" {
		child, rest := step(n, path)
		if child == nil {
			return at
		}
		n, path, at = child, rest, child.at
	}
	return at
}

// step goes into a node by the first part of a path. A variable's name may hold
// dots itself: the longest part that is there wins.
func step(n *node, path string) (child *node, rest string) {
	for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '.') {
		child = n.fields[path[:end]]
		if n.kind == unstable.Array {
			child = item(n, path[:end])
		}
		if child != nil {
			return child, strings.TrimPrefix(path[end:], ".")
		}
	}
	return nil, ""
}

// item is the element of a list that an index names.
func item(n *node, index string) *node {
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(n.items) {
		return nil
	}
	return n.items[i]
}

// validate notes what Validate finds wrong with a template at its place.
func (d *decoder) validate(n *node, t *gaffer.Template) {
	for _, err := range leaves(t.Validate()) {
		d.faults = append(d.faults, fieldFault(err, locate(n)))
	}
}

// locate finds fields of what n defines.
func locate(n *node) func(string) spot {
	return func(field string) spot { return place(n, field) }
}
