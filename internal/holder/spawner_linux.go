package holder

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// RunSpawner is the life of the spawner: it starts what the holder at the other end of
// the descriptor asks for, as the holder's children, and ends with it. It keeps hardly
// any descriptors, which is what makes a start cheap; its own end costs nothing.
func RunSpawner(fd int) error {
	l, err := newLine(fd)
	if err != nil {
		return err
	}
	siblings, err := proc.NewSiblings(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if siblings.Tried > 0 {
		l.send(&frame{kind: kindUnborn, fds: []int{siblings.Tried}})
		_ = unix.Close(siblings.Tried)
	}
	nameProgram()
	proc.DropProgramPages()
	parent := os.Getppid()
	var t tidier
	t.busy()
	for {
		f, err := l.receive()
		if os.Getppid() != parent {
			return nil // who would know of what is started now?
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case f.kind == kindSpawn:
			t.busy()
			spawn(l, siblings, &f)
		}
		closeAll(f.fds)
	}
}

func spawn(l *line, siblings *proc.Siblings, f *frame) {
	pid, pidfd, err := startSibling(siblings, f)
	answer := frame{kind: kindBorn, id: f.id, number: int64(pid)}
	if err != nil {
		answer.kind = kindUnborn
		answer.body, _ = json.Marshal(proc.FaultOf(err)) // it has only text and a number
	}
	if pidfd >= 0 {
		answer.fds = []int{pidfd}
		defer unix.Close(pidfd)
	}
	l.send(&answer)
}

func startSibling(siblings *proc.Siblings, f *frame) (pid, pidfd int, err error) {
	o, err := parseOrder(f)
	if err != nil {
		return 0, -1, err
	}
	spec, err := proc.ParseSpec(o.spec)
	if err != nil {
		return 0, -1, err
	}
	fds := f.fds
	places := make([]int, len(o.places))
	for i, there := range o.places {
		places[i] = -1
		if there {
			places[i], fds = fds[0], fds[1:]
		}
	}
	return siblings.Start(spec, places)
}

// nameProgram gives this program the name by which it is listed: it was executed by a
// descriptor, whose number it would have.
func nameProgram() {
	_ = os.WriteFile("/proc/self/comm", []byte("gaffer"), 0)
}
