package gaffertest

import (
	"slices"
	"strings"

	"github.com/gafferpm/gaffer"
)

var limitCases = []aCase{
	{"LimitsHoldAndAreTold", limitsHold},
	{"LimitsThatCannotBeAreNamed", limitsRefused},
	{"WhatIsMissingIsToldWithBestEffort", limitsMissing},
}

// limitsHold uses what every system can do.
func limitsHold(b *bench) {
	b.add("web", "ulimit -n; ulimit -c; umask; "+sleeps, func(t *gaffer.Template) {
		t.Limits, t.Umask = &gaffer.Limits{NoFile: "64", Core: "0"}, "027"
	})
	out := b.output("web", gaffer.OutputOptions{Tail: -1})
	for _, want := range []string{"64", "0", "0027"} {
		b.line(out, want)
	}
	want := []gaffer.LimitStatus{
		{Field: "limits.nofile", Value: "64", By: "rlimit"}, {Field: "limits.core", Value: "0", By: "rlimit"}, {Field: "umask", Value: "027", By: "umask"},
	}
	if got := b.status("web").Limits; !slices.Equal(got, want) {
		b.Errorf("limits %+v", got)
	}
	b.add("free", sleeps)
	if got := b.status("free").Limits; len(got) != 0 {
		b.Errorf("limits of one without: %+v", got)
	}
}

func limitsRefused(b *bench) {
	err := b.c.Add(b.ctx, script("web", sleeps, func(t *gaffer.Template) {
		t.Limits, t.Nice, t.MaxMemory = &gaffer.Limits{NoFile: "many", CPU: -1}, new(99), 5
	}))
	b.is(err, gaffer.ErrInvalid)
	equal(b, "fields", faultsOf(err), []string{"limits.cpu", "limits.nofile", "max_memory", "nice"})
	err = b.c.Add(b.ctx, script("web", sleeps, func(t *gaffer.Template) { t.CPUAffinity = "8191" }))
	b.is(err, gaffer.ErrInvalid)
	equal(b, "fields", faultsOf(err), []string{"cpu_affinity"})
	equal(b, "templates", b.names(gaffer.All), nil)
}

func limitsMissing(b *bench) {
	b.add("web", sleeps, func(t *gaffer.Template) {
		t.CPUAffinity, t.Limits = "8191", &gaffer.Limits{Core: "0", BestEffort: true}
	})
	st := b.status("web")
	if st.Running != 1 || len(st.Limits) != 2 {
		b.Fatalf("status %+v", st)
	}
	core, cpus := st.Limits[0], st.Limits[1]
	if core.By != "rlimit" || core.Missing != "" || cpus.Field != "cpu_affinity" || cpus.By != "" || strings.TrimSpace(cpus.Missing) == "" {
		b.Errorf("limits %+v", st.Limits)
	}
}
