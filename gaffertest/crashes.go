package gaffertest

import (
	"time"

	"github.com/gafferpm/gaffer"
)

var crashCases = []aCase{
	{"CrashesAreCountedAndWait", crashesWait},
	{"TooManyCrashesAreAFailure", crashesFail},
}

func crashesWait(b *bench) {
	events := b.events("web", gaffer.EventOptions{})
	hour := gaffer.Duration(time.Hour)
	b.add("web", "exit 3", func(t *gaffer.Template) { t.Backoff = &gaffer.Backoff{First: &hour, Max: &hour} })
	if e := b.await(events, gaffer.KindExit); e.Exit == nil || e.Exit.Status != 3 || e.Exit.Signal != 0 || e.Exit.Time.IsZero() {
		b.Errorf("exit %+v", e.Exit)
	}
	b.await(events, gaffer.KindBackoff)
	st := b.status("web")
	if st.State != gaffer.InBackoff || st.Active != "active" || st.Running != 0 || st.Restarts == 0 || st.Reason == "" {
		b.Errorf("status %+v", st)
	}
	if len(st.Processes) != 1 {
		b.Fatalf("processes %+v", st.Processes)
	}
	p := st.Processes[0]
	if p.ID != 0 || p.State != gaffer.InBackoff || p.Reason == "" || time.Until(p.RetryAt) < time.Minute ||
		p.LastExit == nil || p.LastExit.Status != 3 {
		b.Errorf("process %+v, last exit %+v", p, p.LastExit)
	}
	b.ok(b.c.Stop(b.ctx, "web")) // it need not wait for the next try
	if st := b.status("web"); st.State != gaffer.Stopped {
		b.Errorf("after the stop: %+v", st)
	}
}

func crashesFail(b *bench) {
	events := b.events("web", gaffer.EventOptions{})
	b.add("web", "exit 1", func(t *gaffer.Template) {
		t.Flapping = &gaffer.Flapping{Attempts: 2, Window: gaffer.Duration(time.Minute), MaxRetry: new(0)}
	})
	b.await(events, gaffer.KindFail)
	if st := b.status("web"); st.State != gaffer.Failed || st.Active != "stopped" || st.Reason == "" {
		b.Errorf("status %+v", st)
	}
}
