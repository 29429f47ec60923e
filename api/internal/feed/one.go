package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/gafferpm/gaffer"
)

// one is a process that somebody is connected to.
type one struct {
	name     string // "web.2"
	target   gaffer.Target
	template gaffer.Template
}

// findOne finds the one process that a target selects.
func findOne(ctx context.Context, c gaffer.Controller, target gaffer.Target) (*one, error) {
	list, err := c.List(ctx, target)
	if err != nil {
		return nil, err
	}
	var found *one
	count := 0
	for i := range list {
		for _, p := range list[i].Status.Processes {
			if p.ID == 0 {
				continue
			}
			count++
			found = &one{
				name:     fmt.Sprintf("%s.%d", list[i].Status.Name, p.Slot),
				target:   gaffer.Target(strconv.FormatUint(p.ID, 10)),
				template: list[i].Template,
			}
		}
	}
	switch count {
	case 0:
		if len(list) == 1 && list[0].Template.Detach {
			return nil, &detachedError{target}
		}
		return nil, fmt.Errorf("%s: no process runs there: %w", target, gaffer.ErrNotFound)
	case 1:
		return found, nil
	}
	return nil, invalidf("%s: selects %d processes; want one, as %s", target, count, found.name)
}

// detachedError is the error of a target that runs where nobody has its streams.
type detachedError struct{ target gaffer.Target }

func (e *detachedError) Error() string {
	return string(e.target) + ": it is detached: nobody has its input and output"
}
func (e *detachedError) Is(target error) bool { return target == gaffer.ErrConflict }

// output follows what a process writes until it ends.
func (o *one) output(ctx context.Context, c gaffer.Controller, how gaffer.OutputOptions) (*life, error) {
	ctx, cancel := context.WithCancel(ctx)
	exits, err := c.Subscribe(ctx, o.target, gaffer.EventOptions{Kinds: []gaffer.Kind{gaffer.KindExit}})
	if err != nil {
		cancel()
		return nil, err
	}
	// Had it ended before anybody listened for that, it is not found now.
	if _, err := findOne(ctx, c, o.target); err != nil {
		cancel()
		return nil, err
	}
	output, err := c.Output(ctx, o.target, how)
	if err != nil {
		cancel()
		return nil, err
	}
	l := &life{Stream: output, cancel: cancel, watched: make(chan struct{})}
	l.over, l.end = context.WithCancel(ctx)
	go l.watch(ctx, exits)
	return l, nil
}

// life is what a process writes, to its end. What it has written is there when
// the event of its exit is.
type life struct {
	gaffer.Stream[gaffer.Output]
	cancel  context.CancelFunc
	over    context.Context // ends when the process has
	end     context.CancelFunc
	exit    *gaffer.Exit  // how, once it has; nil: nobody has said
	watched chan struct{} // closed when the goroutine that waits for that has ended
}

func (l *life) watch(ctx context.Context, exits gaffer.Stream[gaffer.Event]) {
	defer close(l.watched)
	defer l.end()
	defer exits.Close()
	for {
		e, err := exits.Next(ctx)
		l.exit = e.Exit
		var missed gaffer.Missed
		if !errors.As(err, &missed) {
			return
		}
	}
}

// Next implements gaffer.Stream.
func (l *life) Next(ctx context.Context) (gaffer.Output, error) {
	if l.over.Err() == nil {
		wait, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(l.over, cancel)()
		o, err := l.Stream.Next(wait)
		if err == nil || ctx.Err() != nil || l.over.Err() == nil {
			return o, err
		}
		var missed gaffer.Missed
		if errors.As(err, &missed) {
			return o, err
		}
	}
	if l.Stream.Len() == 0 {
		return gaffer.Output{}, io.EOF
	}
	return l.Stream.Next(ctx)
}

// Close implements gaffer.Stream.
func (l *life) Close() {
	l.cancel()
	l.Stream.Close()
	<-l.watched
}
