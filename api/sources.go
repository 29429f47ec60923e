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
			id: "apply", summary: "Do what a plan says; the answer is the plan, with what went wrong",
			query: []param{waitParam}, also: []int{http.StatusAccepted}, body: gaffer.Desired{}, answer: gaffer.Plan{},
		},
		{
			method: "POST", path: "/v1/reload", role: Admin, whole: true, audit: "reload", handle: reload,
			id: "reload", summary: "Read the daemon's files again and apply them",
			query: []param{waitParam}, also: []int{http.StatusAccepted}, body: Nothing{}, optional: true, answer: gaffer.Plan{},
		},
		{
			method: "GET", path: "/v1/config", role: Admin, whole: true, handle: showOrigins,
			id: "config", summary: "Where templates come from, and what of them was changed at run time",
			query: []param{targetParam}, answer: []gaffer.Origin{},
		},
	}
}

func plan(c *call) error {
	d, err := c.desired()
	if err != nil {
		return err
	}
	p, err := c.s.opts.Config.Plan(c.r.Context(), d)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, withSteps(p))
}

func apply(c *call) error {
	d, err := c.desired()
	if err != nil {
		return err
	}
	return c.planned(func() (gaffer.Plan, error) { return c.s.opts.Config.Apply(c.patience, d) })
}

func (c *call) desired() (gaffer.Desired, error) {
	var d gaffer.Desired
	if c.s.opts.Config == nil {
		return d, errUnsupported
	}
	err := c.decode(&d)
	if err == nil {
		c.name = d.Source
	}
	return d, err
}

func reload(c *call) error {
	if c.s.opts.Config == nil {
		return errUnsupported
	}
	if err := c.decode(&Nothing{}); err != nil {
		return err
	}
	return c.planned(func() (gaffer.Plan, error) { return c.s.opts.Config.Reload(c.patience) })
}

// planned answers with a plan that is carried out. One of which steps failed is an
// answer too: they say so themselves.
func (c *call) planned(do func() (gaffer.Plan, error)) error {
	var p gaffer.Plan
	done, err := c.waited(func() (err error) {
		p, err = do()
		return err
	})
	failed := func(s gaffer.Step) bool { return s.Error != "" }
	if err != nil && !slices.ContainsFunc(p.Steps, failed) {
		return err
	}
	if err != nil {
		c.note, done = "with faults", true // the steps say which
	}
	return c.reply(acceptedUnless(done), withSteps(p))
}

// withSteps is a plan that has a list of steps, if an empty one.
func withSteps(p gaffer.Plan) gaffer.Plan {
	if p.Steps == nil {
		p.Steps = []gaffer.Step{}
	}
	return p
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
