package console

import (
	"testing"
	"time"

	"github.com/gafferpm/gaffer"
)

func TestEventsBecomeSentences(t *testing.T) {
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	n := newNarrator()
	steps := []struct {
		event gaffer.Event
		want  string // "" when there is nothing to say
	}{
		{gaffer.Event{Kind: gaffer.KindCreate, Name: "web"}, ""},
		{gaffer.Event{Kind: gaffer.KindStart, Name: "web"}, ""},
		{gaffer.Event{Kind: gaffer.KindSpawn, Name: "web", Slot: 1, ID: 1, PID: 42, Time: t0}, "web.1 started (pid 42)"},
		{
			gaffer.Event{
				Kind: gaffer.KindExit, Name: "web", Slot: 1, ID: 1, PID: 42, Message: "next try in 200ms (3rd crash in a row)",
				Exit: &gaffer.Exit{Status: 3, Time: at(12 * time.Second), Reason: "exit status 3"},
			},
			"web.1 crashed after 12s: exit status 3; next try in 200ms (3rd crash in a row)",
		},
		{gaffer.Event{Kind: gaffer.KindBackoff, Name: "web", Slot: 1, ID: 1, Message: "exit status 3; next try in 200ms"}, ""},
		{gaffer.Event{Kind: gaffer.KindSpawn, Name: "web", Slot: 1, ID: 2, PID: 43, Time: at(13 * time.Second)}, "web.1 started again (pid 43)"},
		{
			gaffer.Event{
				Kind: gaffer.KindExit, Name: "web", Slot: 1, ID: 2, Message: "replaced at once",
				Exit: &gaffer.Exit{Time: at(13*time.Second + 85*time.Millisecond), Reason: "exit status 0"},
			},
			"web.1 ended after 85ms: exit status 0; replaced at once",
		},
		{
			gaffer.Event{Kind: gaffer.KindBackoff, Name: "web", Slot: 1, ID: 3, Message: "can't be started: ./web: no such file; next try in 100ms"},
			"web.1 can't be started: ./web: no such file; next try in 100ms",
		},
		{
			gaffer.Event{Kind: gaffer.KindFlap, Name: "web", Message: "2 crashes within 1s; next try in 7s (pause 1 of 5)"},
			"web crashes too often: 2 crashes within 1s; next try in 7s (pause 1 of 5)",
		},
		{gaffer.Event{Kind: gaffer.KindFail, Name: "web", Message: "given up"}, "web has failed: given up"},
		{gaffer.Event{Kind: gaffer.KindSpawn, Name: "web", Slot: 1, ID: 4, PID: 44, Time: at(0)}, "web.1 started again (pid 44)"},
		{gaffer.Event{Kind: gaffer.KindStopPID, Name: "web", Slot: 1, ID: 4, Message: "the manager stops"}, ""},
		{
			gaffer.Event{
				Kind: gaffer.KindExit, Name: "web", Slot: 1, ID: 4,
				Exit: &gaffer.Exit{Status: -1, Signal: 9, Time: at(31 * time.Minute), Reason: "the manager stops: ended by SIGKILL, killed after 30s"},
			},
			"web.1 stopped after 31m0s: ended by SIGKILL, killed after 30s",
		},
		{gaffer.Event{Kind: gaffer.KindUpdate, Name: "web", Message: "numprocesses 3, was 2"}, "web was changed: numprocesses 3, was 2"},
		{gaffer.Event{Kind: gaffer.KindRestart, Name: "web"}, "web is being restarted"},
		{gaffer.Event{Kind: gaffer.KindSpawn, Name: "job", Slot: 1, ID: 5, PID: 45, Message: "detached"}, "job.1 started, detached (pid 45)"},
		{gaffer.Event{Kind: gaffer.KindExit, Name: "x", Slot: 1, ID: 99}, "x.1 ended"},
	}
	for _, s := range steps {
		got, ok := n.tell(s.event)
		if got.text != s.want || ok != (s.want != "") {
			t.Errorf("%s: got %q, want %q", s.event.Kind, got.text, s.want)
		}
	}
	if len(n.started) != 0 || len(n.asked) != 0 {
		t.Errorf("what has ended is remembered: %v, %v", n.started, n.asked)
	}
}

func TestSpansAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0ms", 0: "0ms", 999 * time.Millisecond: "999ms", 1250 * time.Millisecond: "1.2s", 12 * time.Second: "12s",
		200 * time.Second: "3m20s", 5*time.Hour + 2*time.Minute: "5h2m", 76 * time.Hour: "3d4h",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}
