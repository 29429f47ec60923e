package holder

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

func TestCheckAnswers(t *testing.T) {
	for in, want := range map[string]Checked{
		`{"format":1,"epoch":3,"services":[{"id":7,"pid":70,"pidfd":9,"keep":[[1,10],[2,11]]}]}`:                 {Protocol: Protocol},
		`{"format":1,"epoch":3,"unknown":[1],"services":[{"id":7,"pid":70,"pidfd":-1,"exit":{},"reaped":true}]}`: {Protocol: Protocol},
		``:             {Error: "EOF"},
		`{"format":2}`: {Error: "what the running daemon hands over has format 2, this program knows 1"},
		`{"format":1,"services":[{"id":7,"pid":70,"pidfd":-1}]}`:                             {Error: "process 7, pid 70: that can't be"},
		`{"format":1,"services":[{"id":7,"pid":70,"pidfd":9,"reaped":true}]}`:                {Error: "process 7, pid 70: that can't be"},
		`{"format":1,"services":[{"id":7,"pid":70,"pidfd":9},{"id":7,"pid":71,"pidfd":10}]}`: {Error: "process 7, pid 71: that can't be"},
		`{"format":1,"services":[{"id":7,"pid":0,"pidfd":9}]}`:                               {Error: "process 7, pid 0: that can't be"},
	} {
		var out bytes.Buffer
		err := Check(strings.NewReader(in), &out)
		var got Checked
		if jerr := json.Unmarshal(out.Bytes(), &got); jerr != nil {
			t.Errorf("%s: %v", in, jerr)
		}
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want.Error == "") {
			t.Errorf("%s: %v %s", in, err, diff)
		}
	}
}

// What one holder hands over is what the next one has, and nothing of it is inherited by
// anybody else.
func TestWhatIsHandedOverIsTakenOver(t *testing.T) {
	fd := func() int {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	exit := &proc.Exit{Status: 3}
	h := &holder{epoch: 4, stops: 1, reload: true, last: "exit status 2", upgraded: &Upgraded{Binary: "/b"}, services: map[uint64]*service{
		1: {id: 1, pid: 101, pidfd: fd(), exit: exit, keep: []proc.Kept{{Stream: 1, FD: fd()}, {Stream: 2, FD: fd()}}},
		2: {id: 2, pid: 102, pidfd: -1, exit: exit, reaped: true, keep: []proc.Kept{{Stream: 1, FD: fd()}}},
	}}
	state := h.handOver()
	f, err := state.file()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	state.inherited(true)
	next := &holder{services: map[uint64]*service{}, pids: map[int]uint64{}, files: map[string]int{}}
	handed, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.takeOver(handed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.services, next.services, cmp.AllowUnexported(service{}, proc.Exit{})); diff != "" {
		t.Error(diff)
	}
	if next.epoch != 4 || next.stops != 1 || !next.reload || next.last != h.last || *next.upgraded != *h.upgraded || !next.begun {
		t.Errorf("got %+v", next)
	}
	if next.pids[101] != 1 || len(next.pids) != 1 {
		t.Errorf("pids %v", next.pids)
	}
	for _, s := range next.services {
		for _, k := range s.keep {
			if flags, err := unix.FcntlInt(uintptr(k.FD), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor %d: %v, %v", k.FD, flags, err)
			}
		}
	}
}
