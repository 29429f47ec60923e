package feed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gafferpm/gaffer"
)

// bytesOnly is the bytes themselves: nothing else fits in between.
type bytesOnly struct{ text }

func (bytesOnly) contentType() string { return "application/octet-stream" }

// errLost says that bytes were lost where that can't be said.
var errLost = errors.New("bytes were lost")

// Raw serves GET /v1/processes/{target}/streams/{label}: the bytes that one
// process writes, as they come, until it ends. If some are lost because the
// client reads them too slowly, the answer is cut.
func (f *Feed) Raw(w http.ResponseWriter, r *http.Request, c gaffer.Controller, target gaffer.Target, label string) error {
	p := query(r, "tail", "follow")
	how := gaffer.OutputOptions{Raw: true, Labels: []string{label}, Tail: p.tail(0), NoFollow: !p.truth("follow", true)}
	if err := p.err(); err != nil {
		return err
	}
	format, err := accepted(r, bytesOnly{})
	if err != nil {
		return err
	}
	ctx, done, err := f.begin(r)
	if err != nil {
		return err
	}
	defer done()
	process, err := findOne(ctx, c, target)
	if err != nil {
		return err
	}
	if !process.writes(label) {
		return fmt.Errorf("%s: stream %q: %w", process.name, label, gaffer.ErrNotFound)
	}
	output, err := process.output(ctx, c, how)
	if err != nil {
		return err
	}
	defer output.Close()
	a := f.open(w, format.contentType())
	defer a.close()
	if r.Method == http.MethodHead {
		return nil
	}
	pump := pump[gaffer.Output]{answer: a, format: format, stream: whole{output}, ends: how.NoFollow, put: func(b []byte, o gaffer.Output) ([]byte, error) {
		return append(b, o.Data...), nil
	}}
	if pump.run(ctx) != nil {
		a.cut()
	}
	return nil
}

// writes says whether the process has a stream of that label which it writes to.
func (o *one) writes(label string) bool {
	return slices.Contains(o.template.Outputs(), label) || slices.Contains(o.template.CustomStreams, label)
}

// whole is output that breaks off where some of it was lost.
type whole struct{ gaffer.Stream[gaffer.Output] }

func (s whole) Next(ctx context.Context) (gaffer.Output, error) {
	o, err := s.Stream.Next(ctx)
	var missed gaffer.Missed
	if errors.As(err, &missed) {
		return o, errLost
	}
	return o, err
}
