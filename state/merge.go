package state

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/gafferpm/gaffer"
)

// outcome is what is wanted of a template once its source was applied.
type outcome struct {
	template *gaffer.Template
	active   bool
	count    int
	kept     []string // fields that stay as they were changed at run time
	dropped  []string // those that were changed at run time, and are the source's again
}

// defined is what a source alone wants.
func defined(file *gaffer.Template) outcome {
	return outcome{template: file, active: starts(file), count: count(file)}
}

// merge is what is wanted once r's source, or its new one, says file. What was
// changed at run time stays where the source says the same as before; with reset
// it stays nowhere.
func merge(r *record, file *gaffer.Template, reset bool) outcome {
	if reset || r.File == nil {
		o := defined(file)
		o.settle(r, file)
		return o
	}
	o := outcome{template: r.Template, active: r.Active, count: r.Count}
	if !reflect.DeepEqual(r.File, file) {
		o = r.mergeFields(file)
		o.settle(r, file)
	}
	for _, v := range overrides(file, o.template, o.active, o.count) {
		o.kept = append(o.kept, words(v))
	}
	return o
}

// words are an override in a message. Values of env may be secrets.
func words(v gaffer.Override) string {
	if v.Field == envField || strings.HasPrefix(v.Field, envField+".") {
		return v.Field
	}
	return fmt.Sprintf("%s %s (here %s)", v.Field, orUnset(v.Value), orUnset(v.Base))
}

// mergeFields is merge for a file that says something new.
func (r *record) mergeFields(file *gaffer.Template) outcome {
	o := outcome{template: file, active: r.Active, count: r.Count}
	if count(r.File) != count(file) {
		o.count = count(file)
	}
	if starts(r.File) != starts(file) {
		o.active = starts(file)
	}
	if sameTemplate(r.File, r.Template) {
		return o // mostly: nothing was changed at run time
	}
	t, err := combine(fieldsOf(r.File), fieldsOf(file), fieldsOf(r.Template)).template(r.name)
	if err == nil && t.Validate() == nil {
		o.template = &t
	} // else: what fits together on either side may not do so in the middle
	return o
}

// settle completes what was merged.
func (o *outcome) settle(r *record, file *gaffer.Template) {
	if o.template.Detach {
		o.active = r.Active // what was started of it is left alone
	}
	// In a template that is there these two say nothing: what is wanted is beside
	// it. So they are no reason to touch it.
	t := *o.template
	t.NumProcesses, t.Start = file.NumProcesses, file.Start
	if o.count == r.Count {
		t.NumProcesses = r.Template.NumProcesses
	}
	if o.active == r.Active {
		t.Start = r.Template.Start
	}
	if !reflect.DeepEqual(&t, o.template) {
		o.template = &t
	}
	o.dropped = o.lost(r)
}

// lost are the run-time changes of a record that are gone in the outcome.
func (o *outcome) lost(r *record) []string {
	if r.File == nil {
		return nil
	}
	var list []string
	left := fieldsOf(o.template)
	for _, v := range overrides(r.File, r.Template, r.Active, r.Count) {
		var now string
		switch v.Field {
		case countField:
			now = strconv.Itoa(o.count)
		case startField:
			now = strconv.FormatBool(o.active)
		default:
			now = left.value(v.Field)
		}
		if now != v.Value {
			list = append(list, v.Field)
		}
	}
	return list
}

// value is that of a field, which may be dotted.
func (f fieldMap) value(field string) string {
	name, key, dotted := strings.Cut(field, ".")
	if !dotted {
		return string(f[name])
	}
	t, _ := table(name, f[name])
	return string(t[key])
}

// overrides are where what is wanted differs from what the source says.
func overrides(file, template *gaffer.Template, active bool, n int) []gaffer.Override {
	var list []gaffer.Override
	if n != count(file) {
		list = append(list, gaffer.Override{Field: countField, Value: strconv.Itoa(n), Base: strconv.Itoa(count(file))})
	}
	if active != starts(file) {
		list = append(list, gaffer.Override{Field: startField, Value: strconv.FormatBool(active), Base: strconv.FormatBool(starts(file))})
	}
	if file == template || reflect.DeepEqual(file, template) {
		return list
	}
	base, is := fieldsOf(file), fieldsOf(template)
	for _, f := range []fieldMap{base, is} {
		delete(f, countField)
		delete(f, startField)
	}
	for _, d := range differences(base, is) {
		list = append(list, gaffer.Override{Field: d.Field, Value: d.New, Base: d.Old})
	}
	return list
}

// count is how many processes a template asks for.
func count(t *gaffer.Template) int {
	if t.NumProcesses == nil {
		return 1
	}
	return *t.NumProcesses
}

// starts says whether a template is started when it is added.
func starts(t *gaffer.Template) bool { return t.Start == nil || *t.Start }

// orUnset is a value in words, where it may be none.
func orUnset(value string) string {
	if value == "" {
		return "not set"
	}
	return value
}
