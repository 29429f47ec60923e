package api

import (
	"net/http"
	"slices"

	"github.com/gafferpm/gaffer"
)

func sourceRoutes() []route {
	return []route{
		{
			method: "POST", path: "/v1/plan", role: Admin, whole: true, handle: plan,
			id: "plan", summary: "What applying a source would do", body: gaffer.Desired{}, answer: gaffer.Plan{},
		},
		{
			method: "POST", path: "/v1/apply", role: Admin, whole: true, audit: "apply", handle: apply,
			id: "apply", summary: "Do what a plan says, and wait until it is done", body: gaffer.Desired{}, answer: gaffer.Plan{},
		},
		{
			method: "POST", path: "/v1/reload", role: Admin, whole: true, audit: "reload", handle: reload,
			id: "reload", summary: "Read the daemon's files again and apply them", body: Nothing{}, optional: true, answer: gaffer.Plan{},
		},
		{
			method: "GET", path: "/v1/config", role: Admin, whole: true, handle: showOrigins,
			id: "config", summary: "Where templates come from, and what of them was changed at run time",
			query: []param{targetParam}, answer: []gaffer.Origin{},
		},
	}
}

func plan(c *call) error {
	return c.desired(func(d gaffer.Desired) (gaffer.Plan, error) { return c.s.opts.Config.Plan(c.r.Context(), d) })
}

func apply(c *call) error {
	return c.desired(func(d gaffer.Desired) (gaffer.Plan, error) { return c.s.opts.Config.Apply(c.r.Context(), d) })
}

func (c *call) desired(do func(gaffer.Desired) (gaffer.Plan, error)) error {
	if c.s.opts.Config == nil {
		return errUnsupported
	}
	var d gaffer.Desired
	if err := c.decode(&d); err != nil {
		return err
	}
	c.name = d.Source
	return c.planned(do(d))
}

func reload(c *call) error {
	if c.s.opts.Config == nil {
		return errUnsupported
	}
	if err := c.decode(&Nothing{}); err != nil {
		return err
	}
	return c.planned(c.s.opts.Config.Reload(c.r.Context()))
}

// planned answers with a plan. A plan of which steps failed is an answer too: they
// say so themselves.
func (c *call) planned(p gaffer.Plan, err error) error {
	failed := func(s gaffer.Step) bool { return s.Error != "" }
	if err != nil && !slices.ContainsFunc(p.Steps, failed) {
		return err
	}
	if p.Steps == nil {
		p.Steps = []gaffer.Step{}
	}
	if err != nil {
		c.note = "with faults: " + err.Error()
	}
	return c.reply(http.StatusOK, p)
}

func showOrigins(c *call) error {
	if c.s.opts.Config == nil {
		return errUnsupported
	}
	t := gaffer.Target(c.r.URL.Query().Get("target"))
	if t == "" {
		t = gaffer.All
	}
	if err := t.Check(); err != nil {
		return badQuery("target", err.Error())
	}
	list, err := c.s.opts.Config.Origins(c.r.Context(), t)
	if err != nil {
		return err
	}
	if list == nil {
		list = []gaffer.Origin{}
	}
	return c.reply(http.StatusOK, list)
}
