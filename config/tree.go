package config

import (
	"errors"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// node is a value of a TOML document with its place. Decoding into Go values
// directly would lose the order of the tables and stop at the first fault.
type node struct {
	kind unstable.Kind // of the value; Table for both sorts of tables
	key  spot          // the key, or the header, that defined it
	at   spot          // the value itself
	text string        // of a scalar: as it is written, a string without its quotes

	items  []*node          // of an Array
	tables bool             // an Array that was written as [[header]]s
	keys   []string         // of a Table, in order
	fields map[string]*node // of a Table
	closed bool             // a Table that was written at once ({…}) and can't grow
	header bool             // a Table that has had its own [header]
}

func newTable(key spot) *node {
	return &node{kind: unstable.Table, key: key, at: key, fields: map[string]*node{}}
}

func (n *node) add(name string, child *node) {
	n.keys = append(n.keys, name)
	n.fields[name] = child
}

func (n *node) remove(name string) {
	n.keep(func(k string, _ *node) bool { return k != name })
}

// keep takes out what is not good.
func (n *node) keep(good func(name string, child *node) bool) {
	n.keys = slices.DeleteFunc(n.keys, func(k string) bool {
		if good(k, n.fields[k]) {
			return false
		}
		delete(n.fields, k)
		return true
	})
}

// parseTree reads a TOML document. Its faults are those of the syntax, of which
// there is one, or of keys that are defined twice, all of them.
func parseTree(src *source) (*node, Faults) {
	t := &treeParser{src: src, root: newTable(spot{src: src})}
	t.parser.Reset([]byte(src.text))
	t.parse()
	if len(t.faults) > 0 {
		return nil, t.faults
	}
	// The parser knows the syntax of the document; the decoder knows the rest of
	// TOML's rules (which tables may be extended where, dates that exist, …).
	var whole map[string]any
	if err := toml.Unmarshal([]byte(src.text), &whole); err != nil {
		return nil, Faults{tomlFault(src, err)}
	}
	return t.root, nil
}

type treeParser struct {
	src    *source
	parser unstable.Parser
	root   *node
	faults Faults
	full   bool // a table has too many names
}

// maxNames is how many names one table may have. The time that the TOML library
// takes grows with their square.
const maxNames = 10_000

func (t *treeParser) parse() {
	table := t.root
	for !t.full && t.parser.NextExpression() {
		e := t.parser.Expression()
		switch e.Kind {
		case unstable.Table:
			table = t.openTable(e)
		case unstable.ArrayTable:
			table = t.addTable(e)
		case unstable.KeyValue:
			t.keyValue(table, e)
		}
	}
	var err *unstable.ParserError
	if errors.As(t.parser.Error(), &err) {
		at := t.parser.Range(err.Highlight)
		t.fault(span{int(at.Offset), int(at.Offset + at.Length)}, "%s", err.Message)
	}
}

// add adds a name to a table.
func (t *treeParser) add(table *node, name string, child *node) {
	if table.add(name, child); len(table.keys) > maxNames && !t.full {
		t.full = true
		t.fault(child.key.span, "more than %d names in one table", maxNames)
	}
}

func (t *treeParser) fault(at span, format string, a ...any) {
	t.faults = append(t.faults, t.src.fault(at, format, a...))
}

// openTable finds or makes the table of a [header].
func (t *treeParser) openTable(e *unstable.Node) *node {
	at := t.keySpan(e.Key())
	table := t.walk(t.root, e.Key(), at, false)
	if table == nil {
		return newTable(t.spot(at))
	}
	if table.header {
		t.fault(at, "[%s] is defined twice; the first is on line %d", keyText(e.Key()), table.key.line())
		return newTable(t.spot(at))
	}
	table.header, table.key = true, t.spot(lastSpan(e.Key()))
	table.at = table.key
	return table
}

// addTable adds a table to the list of a [[header]].
func (t *treeParser) addTable(e *unstable.Node) *node {
	at, name := t.keySpan(e.Key()), lastKey(e.Key())
	added := newTable(t.spot(lastSpan(e.Key())))
	holder := t.walk(t.root, e.Key(), at, true)
	if holder == nil {
		return added
	}
	list := holder.fields[name]
	if list == nil {
		list = &node{kind: unstable.Array, tables: true, key: added.key, at: added.key}
		t.add(holder, name, list)
	}
	if !list.tables {
		t.fault(at, "%s is defined twice; the first is on line %d", name, list.key.line())
		return added
	}
	list.items = append(list.items, added)
	return added
}

// walk goes down a dotted key and makes the tables that are missing; with leave,
// it stops at the table that holds the last part.
func (t *treeParser) walk(table *node, key unstable.Iterator, at span, leave bool) *node {
	for key.Next() {
		if leave && key.IsLast() {
			return table
		}
		name := string(key.Node().Data)
		child := table.fields[name]
		if child == nil {
			child = newTable(t.spot(partSpan(key.Node())))
			t.add(table, name, child)
		}
		if child.tables {
			child = child.items[len(child.items)-1]
		}
		if child.kind != unstable.Table || child.closed {
			t.fault(at, "%s is defined twice; the first is on line %d", name, child.key.line())
			return nil
		}
		table = child
	}
	return table
}

// keyValue adds `key = value` to a table.
func (t *treeParser) keyValue(table *node, e *unstable.Node) {
	at := t.keySpan(e.Key())
	holder := t.walk(table, e.Key(), at, true)
	if holder == nil {
		return
	}
	name := lastKey(e.Key())
	if first := holder.fields[name]; first != nil {
		t.fault(at, "%s is defined twice; the first is on line %d", name, first.key.line())
		return
	}
	end := int(e.Raw.Offset + e.Raw.Length)
	child := t.value(e.Value(), t.valueSpan(at.to, end))
	child.key = t.spot(lastSpan(e.Key()))
	t.add(holder, name, child)
}

// value makes a node of a value; around is where it is known to be.
func (t *treeParser) value(v *unstable.Node, around span) *node {
	n := &node{kind: v.Kind, key: t.spot(around), at: t.spot(around)}
	switch v.Kind {
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			n.items = append(n.items, t.value(it.Node(), around))
		}
	case unstable.InlineTable:
		n.kind, n.closed, n.fields = unstable.Table, true, map[string]*node{}
		for it := v.Children(); it.Next(); {
			t.keyValue(n, it.Node())
		}
		// Dotted keys in it made tables that can't grow either.
		closeAll(n)
	default:
		n.text = string(v.Data)
		if v.Raw.Length > 0 {
			n.at = t.spot(span{int(v.Raw.Offset), int(v.Raw.Offset + v.Raw.Length)})
		}
	}
	return n
}

func closeAll(n *node) {
	n.closed = true
	for _, child := range n.fields {
		if child.kind == unstable.Table {
			closeAll(child)
		}
	}
}

// valueSpan is what is between the end of a key and the end of its value,
// without the equals sign and the blanks around.
func (t *treeParser) valueSpan(from, end int) span {
	text := t.src.text[from:end]
	rest := strings.TrimLeft(text, " \t=")
	return span{from + len(text) - len(rest), from + len(strings.TrimRight(text, " \t\r\n"))}
}

func (t *treeParser) keySpan(key unstable.Iterator) span {
	s := span{-1, -1}
	for key.Next() {
		part := partSpan(key.Node())
		if s.from < 0 {
			s.from = part.from
		}
		s.to = part.to
	}
	return s
}

func partSpan(part *unstable.Node) span {
	return span{int(part.Raw.Offset), int(part.Raw.Offset + part.Raw.Length)}
}

func (t *treeParser) spot(at span) spot { return spot{t.src, at} }

func lastSpan(key unstable.Iterator) (at span) {
	for key.Next() {
		at = partSpan(key.Node())
	}
	return at
}

func lastKey(key unstable.Iterator) (name string) {
	for key.Next() {
		name = string(key.Node().Data)
	}
	return name
}

// keyText writes a dotted key the way a person would.
func keyText(key unstable.Iterator) string {
	var b strings.Builder
	for key.Next() {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(quotedKey(string(key.Node().Data)))
	}
	return b.String()
}

// quotedKey quotes a part of a key that needs it.
func quotedKey(s string) string {
	bare := s != ""
	for _, c := range s {
		bare = bare && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if bare {
		return s
	}
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
}

// tomlFault gives an error of the TOML library our form.
func tomlFault(src *source, err error) *Fault {
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, col := decode.Position()
		from := offset(src.text, line, col)
		return src.fault(span{from, from + 1}, "%s", strings.TrimPrefix(decode.Error(), "toml: "))
	}
	return src.wholeFault("%v", err)
}

// offset is where a line and a column in bytes, both from 1, are.
func offset(text string, line, col int) int {
	at := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
	}
	return min(at+col-1, len(text))
}
