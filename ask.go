package gaffer

import (
	"context"
	"errors"
	"math"
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
	var r *recipe
	if err := k.box.do(ctx, func() { r = k.recipe }); err != nil {
		return "", err
	}
	var answer []byte
	reports := make(chan report, 1)
	asked := m.errand(errand{
		recipe: r, slot: 1, command: &Command{Cmd: script, Shell: new(true)},
		timeout: math.MaxInt64, // ctx says how long
		apart:   true,
		output:  func(data []byte) { answer = append(answer, data[:min(len(data), mostAnswer-len(answer))]...) },
		done:    func(r report) { reports <- r },
	})
	giveUp := context.AfterFunc(ctx, asked.giveUp)
	defer giveUp()
	how := <-reports
	switch why := how.failure(); {
	case how.given && ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(how.err, ErrClosed):
		return "", ErrClosed
	case why != "":
		return "", errors.New(why)
	}
	return string(answer), nil
}
