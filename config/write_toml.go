package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gafferpm/gaffer"
)

// FormatTOML writes templates as a gaffer.toml that Load reads as the same ones.
// What TOML can't hold, text that is not UTF-8, is an error. A template without a
// Cwd gets that of the file once it is read.
func FormatTOML(templates []gaffer.Template) ([]byte, error) {
	var b bytes.Buffer
	var errs []error
	named := writeSockets(&b, templates, &errs)
	for i := range templates {
		t := &templates[i]
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		w := tomlWriter{b: &b, table: "process." + quotedKey(t.Name), named: named}
		w.header()
		w.fields(reflect.ValueOf(t).Elem(), "name")
		for _, err := range w.errs {
			errs = append(errs, fmt.Errorf("template %s: %w", t.Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// tomlWriter writes one table.
type tomlWriter struct {
	b     *bytes.Buffer
	table string
	named map[string]gaffer.Socket // those that have a table, to which a name refers
	errs  []error
}

func (w *tomlWriter) header() { w.b.WriteString("[" + w.table + "]\n") }

// fields writes what is set of a struct: the simple fields first, for what follows
// the header of a table belongs to that one.
func (w *tomlWriter) fields(v reflect.Value, skip string) {
	names, index := fields(v.Type())
	var tables []string
	for _, name := range names {
		f := v.Field(index[name])
		switch {
		case name == skip || unset(f):
		case f.Kind() == reflect.Pointer && f.Elem().Kind() == reflect.Struct && f.Type() != reflect.TypeFor[*gaffer.Command]():
			tables = append(tables, name)
		default:
			w.b.WriteString(name + " = ")
			w.value(f, name)
			w.b.WriteByte('\n')
		}
	}
	for _, name := range tables {
		w.b.WriteByte('\n')
		sub := tomlWriter{b: w.b, table: w.table + "." + name}
		sub.header()
		sub.fields(v.Field(index[name]).Elem(), "")
		w.errs = append(w.errs, sub.errs...)
	}
}

// unset tells whether a field has its default. A list that is empty but there
// means something.
func unset(v reflect.Value) bool {
	if v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

func (w *tomlWriter) value(v reflect.Value, name string) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if c, ok := v.Interface().(gaffer.Command); ok && c == (gaffer.Command{Cmd: c.Cmd}) {
		w.text(c.Cmd, name)
		return
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			w.errs = append(w.errs, fmt.Errorf("%s: %w", name, err))
		}
		w.text(string(text), name)
		return
	}
	switch v.Kind() {
	case reflect.String:
		w.text(v.String(), name)
	case reflect.Bool:
		w.b.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Int:
		w.b.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Float64:
		w.number(v.Float())
	case reflect.Slice:
		w.list(v, name)
	case reflect.Map:
		w.inline(v, name)
	case reflect.Struct:
		w.inlineTable(v, name)
	default:
		// A new kind of field needs its case here; a test writes every field.
		w.errs = append(w.errs, fmt.Errorf("%s: gaffer cannot write a field of type %s", name, v.Type()))
	}
}

// number writes a float so that it stays one.
func (w *tomlWriter) number(f float64) {
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	w.b.WriteString(text)
}

func (w *tomlWriter) list(v reflect.Value, name string) {
	w.b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			w.b.WriteString(", ")
		}
		w.value(v.Index(i), name)
	}
	w.b.WriteByte(']')
}

func (w *tomlWriter) inline(v reflect.Value, name string) {
	w.b.WriteString("{ ")
	values := map[string]reflect.Value{}
	for it := v.MapRange(); it.Next(); {
		values[it.Key().String()] = it.Value()
	}
	for i, key := range sortedKeys(values) {
		if i > 0 {
			w.b.WriteString(", ")
		}
		w.key(key, name)
		w.b.WriteString(" = ")
		w.value(values[key], name+"."+key)
	}
	w.b.WriteString(" }")
}

func (w *tomlWriter) key(key, name string) {
	if quoted := quotedKey(key); quoted == key {
		w.b.WriteString(key)
		return
	}
	w.text(key, name)
}

// text writes a string in quotes: in single ones, as it is, where that is easier to
// read.
func (w *tomlWriter) text(s, name string) {
	if !utf8.ValidString(s) {
		w.errs = append(w.errs, fmt.Errorf("%s: %q is not UTF-8, which gaffer.toml has to be: %w", name, s, gaffer.ErrInvalid))
		return
	}
	plain := !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\'' })
	if plain && strings.ContainsAny(s, `"\`) {
		w.b.WriteString("'" + s + "'")
		return
	}
	w.b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.b.WriteString(`\` + string(r))
		case r == '\n':
			w.b.WriteString(`\n`)
		case r == '\t':
			w.b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(w.b, `\u%04X`, r)
		default:
			w.b.WriteRune(r)
		}
	}
	w.b.WriteByte('"')
}
