package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/forward"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// forward decodes a table [forward.NAME].
func (d *decoder) forward(n *node, name string) Forward {
	f := Forward{
		Name: name, Target: gaffer.All, Facility: forward.DefaultFacility, Timeout: gaffer.Duration(forward.DefaultTimeout),
	}
	d.private(n, func() {
		if err := checkWord("forward", name); err != nil {
			d.fault(n.key, "%v", err)
		}
		before := len(d.faults)
		d.table(n, reflect.ValueOf(&f).Elem(), "forward."+quotedKey(name))
		f.CAFile = d.path(n, "ca_file", f.CAFile)
		if len(d.faults) == before {
			d.checkForward(n, &f)
		}
	})
	return f
}

// checkForward tells what is wrong with the values.
func (d *decoder) checkForward(n *node, f *Forward) {
	fault := func(field string, err error) {
		if err != nil {
			d.fault(place(n, field), "%s: %v", field, err)
		}
	}
	known := make([]string, 0, len(forward.Types()))
	for _, t := range forward.Types() {
		known = append(known, string(t))
	}
	switch {
	case f.Type == "":
		d.fault(n.key, "type: is required, one of %s", strings.Join(known, ", "))
		return
	case !slices.Contains(known, f.Type):
		d.fault(place(n, "type"), "type: unknown type %s%s", f.Type, nearest.Hint(f.Type, known))
		return
	}
	web := f.Type == string(forward.Loki) || f.Type == string(forward.OTLP)
	fault("url", forward.CheckURL(forward.Type(f.Type), f.URL))
	fault("target", f.Target.Check())
	for _, label := range f.Streams {
		if err := gaffer.CheckName(label); err != nil || strings.Contains(label, ":") {
			d.fault(place(n, "streams"), "streams: %q: no label of a stream", label)
		}
	}
	for _, name := range sortedKeys(f.Labels) {
		fault("labels."+name, forward.CheckLabel(name))
	}
	for _, name := range sortedKeys(f.Headers) {
		if problem := headerProblem(name, f.Headers[name].Reveal()); problem != "" {
			d.fault(place(n, "headers."+name), "headers.%s: %s", name, problem)
		}
	}
	if known := forward.Facilities(); !slices.Contains(known, f.Facility) {
		d.fault(place(n, "facility"), "facility: unknown facility %s%s", f.Facility, nearest.Hint(f.Facility, known))
	}
	if f.Timeout == 0 {
		d.fault(place(n, "timeout"), "timeout: want more than 0")
	}
	misplaced := func(field, who string, wrong bool) {
		if wrong && n.fields[field] != nil {
			d.fault(n.fields[field].key, "%s: is for %s alone", field, who)
		}
	}
	misplaced("headers", "loki and otlp", !web)
	misplaced("facility", "syslog and journald", web)
	misplaced("ca_file", "https and tls", !strings.HasPrefix(f.URL, "https:") && !strings.HasPrefix(f.URL, "tls:"))
}
