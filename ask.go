package gaffer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/gafferpm/gaffer/internal/proc"
)

// mostAnswer is how much of what a command prints is kept.
const mostAnswer = 4 << 10

// Ask runs a script of a shell as a process of that template would run: as its user, in
// its directory, with its environment. It returns what that prints, up to 4 KiB; the
// error of one that does not exit with 0 has what it has written to stderr. When ctx ends
// it is killed. In any case nothing of what it has started is left then.
func (m *Manager) Ask(ctx context.Context, name, script string) (string, error) {
	k, err := m.named(name)
	if err != nil {
		return "", err
	}
	var r recipe
	if err := k.box.do(ctx, func() { r = *k.recipe }); err != nil {
		return "", err
	}
	r.Cmd, r.Shell, r.Args, r.Detach = script, true, nil, false
	r.RedirectOutput, r.RedirectInput, r.CustomStreams, r.Files = nil, false, nil, nil
	r.Ready, r.Health, r.Sockets, r.OnDemand = nil, nil, nil, false
	r.KillMode = "" // nothing of it is left alone
	id := m.askID()
	spec, err := r.ready(1, id)
	if err != nil {
		return "", err
	}
	spec.ID = id
	q := &question{done: make(chan struct{})}
	failed := make(chan error, 1)
	m.launcher.post(func() {
		if ctx.Err() != nil {
			failed <- ctx.Err()
			return
		}
		m.host.Launch(spec, q, func(err error) { failed <- err })
	})
	if err := <-failed; err != nil {
		return "", err
	}
	select {
	case <-q.done:
	case <-ctx.Done():
		q.end(m, id)
		return "", ctx.Err()
	}
	m.buried(id)
	return q.answer()
}

// askID is an id of what is no template's process, beyond those that these ever get.
func (m *Manager) askID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])                                    // it does not fail
	return 1<<62 | binary.LittleEndian.Uint64(b[:])&(1<<62-1) // never twice, for all that matters
}

// buried tells the holder that nobody has to know any more how it has ended.
func (m *Manager) buried(id uint64) {
	if h := m.opts.Holder; h != nil {
		h.Kept(id)
	}
}

// question is the handler of a command that is asked something.
type question struct {
	done chan struct{}
	os   proc.Process // once it is started

	mu    sync.Mutex // guards the rest
	texts [3][]byte  // by stream
	exit  proc.Exit
}

// Started implements proc.Handler.
func (q *question) Started(os proc.Process) {
	q.os = os
}

// Output implements proc.Handler.
func (q *question) Output(stream int, data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if stream < len(q.texts) {
		text := &q.texts[stream]
		*text = append(*text, data[:min(len(data), mostAnswer-len(*text))]...)
	}
}

// Exited implements proc.Handler.
func (q *question) Exited(e proc.Exit) {
	q.mu.Lock()
	q.exit = e
	q.mu.Unlock()
	close(q.done)
}

// end kills what is being asked, with all that it has started, and waits for that.
func (q *question) end(m *Manager, id uint64) {
	q.os.Kill()
	<-q.done
	m.buried(id)
}

func (q *question) answer() (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var how string
	switch {
	case q.exit.Signal != 0:
		how = "ended by " + Signal(q.exit.Signal).String()
	case q.exit.Status != 0:
		how = fmt.Sprintf("exit status %d", q.exit.Status)
	default:
		return string(q.texts[proc.Stdout]), nil
	}
	if said := lastLine(q.texts[proc.Stderr]); said != "" {
		how += ": " + said
	}
	return "", errors.New(how)
}

// lastLine is the last line of a text that has something in it.
func lastLine(text []byte) string {
	text = bytes.TrimSpace(text)
	return string(bytes.TrimSpace(text[bytes.LastIndexByte(text, '\n')+1:]))
}
