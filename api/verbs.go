package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gafferpm/gaffer"
)

// SignalRequest is the body of signal.
type SignalRequest struct {
	Signal gaffer.Signal `json:"signal"`
}

// ScaleRequest is the body of scale.
type ScaleRequest struct {
	Count Count `json:"count"`
}

// RestartRequest is the body of restart.
type RestartRequest struct {
	// Mode is "stop-first", which is the default, or "overlap".
	Mode string `json:"mode,omitempty" enum:"stop-first,overlap"`
}

// Nothing is the body of start, stop and run.
type Nothing struct{}

// Count is a change of a wanted number: "+2", "-1", "=3", or a number.
type Count string

// UnmarshalJSON accepts a string or a number.
func (c *Count) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(c))
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("want a string or a number: %w", err)
	}
	*c = Count(n)
	return nil
}

func verbRoutes() []route {
	verb := func(name, summary string, body any, optional bool, handle func(*call) error) route {
		return route{
			method: "POST", path: "/v1/processes/{target}/" + name, role: Operator, audit: name, handle: handle,
			id: name, summary: summary, query: []param{waitParam}, body: body, optional: optional,
			also: []int{http.StatusAccepted}, answer: []gaffer.Status{},
		}
	}
	return []route{
		verb("start", "Make templates wanted and start their processes", Nothing{}, true, start),
		verb("stop", "Stop templates, or one process, which is then replaced", Nothing{}, true, stop),
		verb("restart", "Replace processes", RestartRequest{}, true, restart),
		verb("undo", "Go back to the template before the latest update", Nothing{}, true, undo),
		verb("run", "Run now what has a schedule, or runs once; it is so when the run is over", Nothing{}, true, runNow),
		verb("signal", "Send a signal", SignalRequest{}, false, signal),
		verb("scale", "Change the wanted number of processes", ScaleRequest{}, false, scale),
	}
}

func start(c *call) error {
	return c.verb(&Nothing{}, func(t gaffer.Target) error { return c.c.Start(c.patience, t) })
}

func stop(c *call) error {
	return c.verb(&Nothing{}, func(t gaffer.Target) error { return c.c.Stop(c.patience, t) })
}

func restart(c *call) error {
	var how RestartRequest
	return c.verb(&how, func(t gaffer.Target) error {
		mode := gaffer.StopFirst
		if how.Mode == "overlap" {
			c.note, mode = "overlap", gaffer.Overlap
		}
		return c.c.Restart(c.patience, t, mode)
	})
}

func undo(c *call) error {
	return c.verb(&Nothing{}, func(t gaffer.Target) error { return c.c.Undo(c.patience, t) })
}

func runNow(c *call) error {
	return c.verb(&Nothing{}, func(t gaffer.Target) error { return c.c.RunNow(c.patience, t) })
}

func signal(c *call) error {
	var what SignalRequest
	return c.verb(&what, func(t gaffer.Target) error {
		c.note = what.Signal.String()
		return c.c.Signal(c.patience, t, what.Signal)
	})
}

func scale(c *call) error {
	var to ScaleRequest
	var wanted map[string]int
	return c.verbOf(&to, &wanted, func(t gaffer.Target) error {
		change, err := gaffer.ParseChange(string(to.Count))
		if err != nil {
			return &faults{gaffer.ErrInvalid, []Fault{{"body.count", err.Error()}}}
		}
		c.note = change.String()
		wanted, err = c.c.Scale(c.patience, t, change)
		return err
	})
}

func (c *call) verb(body any, do func(gaffer.Target) error) error {
	return c.verbOf(body, new(map[string]int), do)
}

// verbOf does something with a target and answers how its templates are then.
func (c *call) verbOf(body any, wanted *map[string]int, do func(gaffer.Target) error) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	if err := c.decode(body); err != nil {
		return err
	}
	done, err := c.waited(func() error { return do(t) })
	if err != nil {
		return err
	}
	return c.answerStatus(acceptedUnless(done), t, *wanted)
}

// answerStatus answers how templates are. What is not there any more, as a process
// that was stopped, is left out.
func (c *call) answerStatus(status int, t gaffer.Target, wanted map[string]int) error {
	list, err := statusOf(context.WithoutCancel(c.r.Context()), c.c, t)
	if err != nil && !errors.Is(err, gaffer.ErrNotFound) {
		return err
	}
	for i := range list {
		if n, ok := wanted[list[i].Name]; ok {
			list[i].MaxProcesses = n // as it was asked for, though others may have asked since
		}
	}
	c.replyStatuses(status, list)
	return nil
}

func acceptedUnless(done bool) int {
	if done {
		return http.StatusOK
	}
	return http.StatusAccepted
}

// nobodyWaits is a context that has ended: what is asked for with it is done, and
// not waited for.
func nobodyWaits() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// waited runs do, which waits with c.patience, as long as the caller wants to
// wait. It says whether it is done by then.
func (c *call) waited(do func() error) (done bool, err error) {
	c.patience = nobodyWaits()
	query := c.r.URL.RawQuery
	if query == "" {
		return finished(do())
	}
	text := c.r.URL.Query().Get("wait")
	if text == "" {
		return finished(do())
	}
	var wait gaffer.Duration
	if err := wait.UnmarshalText([]byte(text)); err != nil {
		return false, badQuery("wait", err.Error())
	}
	if wait == 0 {
		return finished(do())
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), time.Duration(wait))
	defer cancel()
	c.patience = ctx
	err = do()
	return err == nil, err
}

// finished takes the error of what nobody waited for apart: that the waiting has
// ended is none.
func finished(err error) (bool, error) {
	switch {
	case err == nil:
		return true, nil
	case onlyWaiting(err, context.Canceled):
		return false, nil
	}
	return false, err
}

// onlyWaiting says that an error is nothing but the end of waiting, which is one of
// ends.
func onlyWaiting(err error, ends ...error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { // every part counts
		for _, part := range joined.Unwrap() {
			if !onlyWaiting(part, ends...) {
				return false
			}
		}
		return true
	}
	return slices.ContainsFunc(ends, func(end error) bool { return errors.Is(err, end) })
}
