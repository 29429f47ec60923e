package state

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/gafferpm/gaffer"
)

// The fields of a template as in JSON, to compare and combine templates by field.

// The fields that say what is wanted. What is wanted now is beside the template.
const (
	countField = "numprocesses"
	startField = "start"
)

// envField is the one table of which an empty one is as good as none.
const envField = "env"

// fieldMap is the fields that are set.
type fieldMap map[string]json.RawMessage

// fieldsOf are those of a template but its name.
func fieldsOf(t *gaffer.Template) fieldMap {
	var fields fieldMap
	text, err := json.Marshal(t)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic("state: a template is always JSON: " + err.Error())
	}
	delete(fields, "name")
	return fields
}

// template is the template that has these fields.
func (f fieldMap) template(name string) (t gaffer.Template, err error) {
	text, err := json.Marshal(f)
	if err != nil {
		return t, err
	}
	err = json.Unmarshal(text, &t)
	t.Name = name
	return t, err
}

// sameTemplate says whether two templates are the same as they are written.
func sameTemplate(a, b *gaffer.Template) bool {
	if a == b || reflect.DeepEqual(a, b) {
		return true // mostly, and at once
	}
	return a.Name == b.Name && maps.EqualFunc(fieldsOf(a), fieldsOf(b), sameValue)
}

func sameValue(a, b json.RawMessage) bool { return bytes.Equal(a, b) }

// table reads a value that is a table. No env is an empty one.
func table(name string, value json.RawMessage) (t fieldMap, ok bool) {
	if value == nil && name == envField {
		return fieldMap{}, true
	}
	if len(value) == 0 || value[0] != '{' || json.Unmarshal(value, &t) != nil {
		return nil, false
	}
	return t, true
}

// names are the fields of all, sorted.
func names(all ...fieldMap) []string {
	set := fieldMap{}
	for _, f := range all {
		maps.Copy(set, f)
	}
	return slices.Sorted(maps.Keys(set))
}

// differences are the fields in which two templates differ, one by one those of
// tables.
func differences(a, b fieldMap) []gaffer.FieldChange {
	var list []gaffer.FieldChange
	for _, name := range names(a, b) {
		if sameValue(a[name], b[name]) {
			continue
		}
		was, isTable := table(name, a[name])
		is, areTables := table(name, b[name])
		if !isTable || !areTables {
			list = append(list, gaffer.FieldChange{Field: name, Old: string(a[name]), New: string(b[name])})
			continue
		}
		for _, key := range names(was, is) {
			if !sameValue(was[key], is[key]) {
				list = append(list, gaffer.FieldChange{Field: name + "." + key, Old: string(was[key]), New: string(is[key])})
			}
		}
	}
	return list
}

// combine is what results where a source says next, has said before, and is what
// there is now: the source's where it says something new, else what there is.
func combine(before, next, is fieldMap) fieldMap {
	result := fieldMap{}
	for _, name := range names(before, next, is) {
		if v := combineField(name, before[name], next[name], is[name]); v != nil {
			result[name] = v
		}
	}
	return result
}

func combineField(name string, before, next, is json.RawMessage) json.RawMessage {
	switch {
	case sameValue(before, next):
		return is
	case sameValue(before, is):
		return next
	}
	b, ok := table(name, before)
	n, ok2 := table(name, next)
	i, ok3 := table(name, is)
	if !ok || !ok2 || !ok3 {
		return next
	}
	combined, err := json.Marshal(combine(b, n, i))
	if err != nil {
		panic("state: fields are always JSON: " + err.Error())
	}
	return combined
}
