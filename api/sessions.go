package api

import (
	"context"
	"net/http"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

func sessionRoutes() []route {
	return []route{
		{
			method: "POST", path: "/v1/processes/{target}/resize", role: Operator, audit: "resize", handle: resize,
			id: "resize", summary: "Say how large the window of one process's terminal is", query: []param{waitParam},
			body: gaffer.WindowSize{}, also: []int{http.StatusAccepted}, answer: []gaffer.Status{},
		},
		{
			method: "GET", path: "/v1/processes/{target}/exec", role: Admin, stream: true, audit: "exec", handle: exec,
			id: "exec", summary: "A WebSocket to a command that runs in a template's environment as long as the connection does",
			status: http.StatusSwitchingProtocols,
		},
	}
}

func resize(c *call) error {
	var size gaffer.WindowSize
	return c.verb(&size, func(t gaffer.Target) error {
		s, err := sessionsOf(c.c)
		if err != nil {
			return err
		}
		return s.Resize(c.patience, t, size)
	})
}

func exec(c *call) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	s, err := sessionsOf(c.c)
	if err != nil {
		return err
	}
	if _, err := c.c.List(c.r.Context(), t); err != nil { // better told before it is a WebSocket
		return err
	}
	c.code = http.StatusSwitchingProtocols
	return c.s.feed.Exec(c.w, c.r, feed.Execution{
		Target: t, Sessions: s,
		Begun: func(program string) {
			c.note = program // its arguments may be secret
			c.announce()
		},
		Refused: func(program string, err error) any {
			c.note = program
			c.audit(err)
			c.announced = true // it was told
			return problemOf(err)
		},
	})
}

// sessionsOf is what can be asked of a Controller that has Sessions.
func sessionsOf(c gaffer.Controller) (gaffer.Sessions, error) {
	switch c := c.(type) {
	case *announcing:
		if _, err := sessionsOf(c.Controller); err != nil {
			return nil, err
		}
		return c, nil
	case *scoped:
		if _, err := sessionsOf(c.Controller); err != nil {
			return nil, err
		}
		return c, nil
	case gaffer.Sessions:
		return c, nil
	}
	return nil, errUnsupported
}

func (a *announcing) Resize(ctx context.Context, t gaffer.Target, size gaffer.WindowSize) error {
	s, err := sessionsOf(a.Controller)
	if err != nil {
		return err
	}
	return s.Resize(ctx, t, size)
}

// Exec is told by who asks for it, when it is known what runs.
func (a *announcing) Exec(ctx context.Context, t gaffer.Target, how gaffer.ExecOptions) (gaffer.Session, error) {
	s, err := sessionsOf(a.Controller)
	if err != nil {
		return nil, err
	}
	return s.Exec(ctx, t, how)
}

func (s *scoped) Resize(ctx context.Context, t gaffer.Target, size gaffer.WindowSize) error {
	inner, err := sessionsOf(s.Controller)
	if err == nil {
		err = s.wholly(ctx, t)
	}
	if err != nil {
		return err
	}
	return inner.Resize(ctx, t, size)
}

func (s *scoped) Exec(ctx context.Context, t gaffer.Target, how gaffer.ExecOptions) (gaffer.Session, error) {
	inner, err := sessionsOf(s.Controller)
	if err == nil {
		err = s.wholly(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	return inner.Exec(ctx, t, how)
}
