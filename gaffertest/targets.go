package gaffertest

import (
	"fmt"

	"github.com/gafferpm/gaffer"
)

var targetCases = []aCase{
	{"TargetsSelect", targetsSelect},
	{"TargetsThatSelectNothingAreNotFound", targetsNotFound},
	{"TargetsThatAreNoneAreInvalid", targetsInvalid},
	{"GroupsHaveTheirMembersInOrder", groups},
	{"VerbsOnAGroupTouchItsMembersOnly", groupVerbs},
}

func targetsSelect(b *bench) {
	for _, name := range []string{"web", "web2", "jobs:mail", "jobs:clean"} {
		b.add(name, sleeps, numprocesses(2))
	}
	for target, want := range map[gaffer.Target][]string{
		"*":         {"web", "web2", "jobs:mail", "jobs:clean"},
		"web":       {"web"},
		"web*":      {"web", "web2"},
		"jobs:*":    {"jobs:mail", "jobs:clean"},
		"*:mail":    {"jobs:mail"},
		"jobs:mail": {"jobs:mail"},
		"web2.1":    {"web2"},
		"7":         {"jobs:clean"},
	} {
		equal(b, string(target), b.names(target), want)
	}
	list, err := b.c.List(b.ctx, "jobs:mail.2")
	b.ok(err)
	if ps := list[0].Status.Processes; len(ps) != 1 || ps[0].Slot != 2 || list[0].Status.Running != 2 {
		b.Errorf("a slot is listed with %+v", list[0].Status)
	}
}

func targetsNotFound(b *bench) {
	b.add("web", sleeps)
	for _, target := range []gaffer.Target{"nosuch", "web.2", "99", "none:*", "x*"} {
		_, err := b.c.List(b.ctx, target)
		b.is(err, gaffer.ErrNotFound)
		_, err = b.c.Stats(b.ctx, target)
		b.is(err, gaffer.ErrNotFound)
		if err != nil && err.Error() != fmt.Sprintf("%s: not found", target) {
			b.Errorf("the error for %s reads %q", target, err)
		}
	}
}

func targetsInvalid(b *bench) {
	b.add("web", sleeps)
	for _, target := range []gaffer.Target{"", " ", "web.", "web.0", "web.x", "0", "1x", "a:b:c", "../web", "web/..", "web?x=1", "w\x00eb", "%2e", "."} {
		_, err := b.c.List(b.ctx, target)
		b.is(err, gaffer.ErrInvalid)
		b.is(b.c.Stop(b.ctx, target), gaffer.ErrInvalid)
		_, err = b.c.Subscribe(b.ctx, target, gaffer.EventOptions{})
		b.is(err, gaffer.ErrInvalid)
		_, err = b.c.Output(b.ctx, target, gaffer.OutputOptions{})
		b.is(err, gaffer.ErrInvalid)
		_, err = b.c.Monitor(b.ctx, target, 0)
		b.is(err, gaffer.ErrInvalid)
		b.is(b.c.Write(b.ctx, target, "stdin", nil), gaffer.ErrInvalid)
	}
	b.wantRunning("web", 1)
}

func groups(b *bench) {
	for _, name := range []string{"web", "jobs:b", "ops:x", "jobs:a"} {
		b.add(name, sleeps, notStarted)
	}
	check := func(want string) {
		b.Helper()
		groups, err := b.c.Groups(b.ctx)
		b.ok(err)
		if got := fmt.Sprint(groups); got != want {
			b.Errorf("groups %s, want %s", got, want)
		}
	}
	check("[{jobs [jobs:b jobs:a]} {ops [ops:x]}]")
	b.ok(b.c.Remove(b.ctx, "ops:*"))
	check("[{jobs [jobs:b jobs:a]}]")
}

func groupVerbs(b *bench) {
	for _, name := range []string{"jobs:a", "jobs:b", "web"} {
		b.add(name, sleeps)
	}
	b.ok(b.c.Stop(b.ctx, "jobs:*"))
	b.wantRunning("jobs:a", 0)
	b.wantRunning("jobs:b", 0)
	b.wantRunning("web", 1)
	b.ok(b.c.Start(b.ctx, "jobs:*"))
	b.wantRunning("jobs:a", 1)
	b.ok(b.c.Restart(b.ctx, "jobs:*", gaffer.Overlap))
	equal(b, "ids of web", b.ids("web"), []uint64{3})
	b.ok(b.c.Remove(b.ctx, "jobs:*"))
	equal(b, "templates", b.names(gaffer.All), []string{"web"})
}
