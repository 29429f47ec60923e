package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gafferpm/gaffer"
)

// Removed names a template that was removed.
type Removed struct {
	Name string `json:"name"`
}

func processRoutes() []route {
	const one = "/v1/processes/{target}"
	return []route{
		{
			method: "GET", path: "/v1/processes", role: Viewer, handle: listProcesses,
			id: "list-processes", summary: "All templates and their processes", answer: []gaffer.Info{},
		},
		{
			method: "POST", path: "/v1/processes", role: Admin, audit: "create", handle: addProcess,
			id: "add-process", summary: "Add a template and, unless its start is false, start it",
			query: []param{waitParam}, body: gaffer.Template{}, status: http.StatusCreated, answer: []gaffer.Status{},
		},
		{
			method: "GET", path: one, role: Viewer, handle: listProcesses,
			id: "get-processes", summary: "The templates and processes that a target selects", answer: []gaffer.Info{},
		},
		{
			method: "PUT", path: one, role: Admin, audit: "update", handle: updateProcess,
			id: "update-process", summary: "Replace a template; the name may be left out of the body",
			query: []param{waitParam, {"create", "add the template if there is none of that name", false}},
			body:  namelessTemplate{}, also: []int{http.StatusCreated, http.StatusAccepted}, answer: []gaffer.Status{},
		},
		{
			method: "DELETE", path: one, role: Admin, audit: "remove", handle: removeProcess,
			id: "remove-processes", summary: "Stop templates and forget them",
			query: []param{waitParam}, also: []int{http.StatusAccepted}, answer: []Removed{},
		},
		{
			method: "GET", path: one + "/status", role: Viewer, handle: showStatus,
			id: "status", summary: "How templates and their processes are", answer: []gaffer.Status{},
		},
		{
			method: "GET", path: one + "/history", role: Viewer, handle: showHistory,
			id: "history", summary: "What has happened last to each slot and template, in order", answer: []gaffer.Event{},
		},
		{
			method: "GET", path: one + "/stats", role: Viewer, handle: showStats,
			id: "stats", summary: "What templates use, read once", answer: []gaffer.Stats{},
		},
		{
			method: "GET", path: one + "/usage", role: Viewer, handle: showUsage,
			id: "usage", summary: "The part of stats that is cheap to read: CPU and memory of each process", answer: []gaffer.Use{},
		},
		{
			method: "GET", path: "/v1/groups", role: Viewer, handle: listGroups,
			id: "list-groups", summary: "The groups that have members", answer: []gaffer.Group{},
		},
		{
			method: "GET", path: "/v1/groups/{group}", role: Viewer, handle: showGroup,
			id: "get-group", summary: "One group", answer: gaffer.Group{},
		},
	}
}

func listProcesses(c *call) error {
	t := gaffer.All
	if c.r.PathValue("target") != "" {
		var err error
		if t, err = c.target(); err != nil {
			return err
		}
	}
	list, err := c.c.List(c.r.Context(), t)
	if err != nil {
		return err
	}
	if list == nil {
		list = []gaffer.Info{}
	}
	return c.reply(http.StatusOK, list)
}

func showStatus(c *call) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	list, err := statusOf(c.r.Context(), c.c, t)
	if err != nil {
		return err
	}
	c.replyStatuses(http.StatusOK, list)
	return nil
}

// statusOf is how templates are. A Controller that can tell without telling of the
// templates does.
func statusOf(ctx context.Context, c gaffer.Controller, t gaffer.Target) ([]gaffer.Status, error) {
	type teller interface {
		Status(context.Context, gaffer.Target) ([]gaffer.Status, error)
	}
	if teller, ok := c.(teller); ok {
		return teller.Status(ctx, t)
	}
	list, err := c.List(ctx, t)
	if err != nil {
		return nil, err
	}
	out := make([]gaffer.Status, len(list))
	for i := range list {
		out[i] = list[i].Status
	}
	return out, nil
}

func showHistory(c *call) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	list, err := c.c.History(c.r.Context(), t)
	if err != nil {
		return err
	}
	if list == nil {
		list = []gaffer.Event{}
	}
	return c.reply(http.StatusOK, list)
}

func showStats(c *call) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	list, err := c.c.Stats(c.r.Context(), t)
	if err != nil {
		return err
	}
	if list == nil {
		list = []gaffer.Stats{}
	}
	return c.reply(http.StatusOK, list)
}

func showUsage(c *call) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	list, err := usageOf(c.r.Context(), c.c, t)
	if err != nil {
		return err
	}
	if list == nil {
		list = []gaffer.Use{}
	}
	return c.reply(http.StatusOK, list)
}

// usageOf is what processes use. A Controller that can't tell that alone is asked
// for everything.
func usageOf(ctx context.Context, c gaffer.Controller, t gaffer.Target) ([]gaffer.Use, error) {
	type teller interface {
		Usage(context.Context, gaffer.Target) ([]gaffer.Use, error)
	}
	if teller, ok := c.(teller); ok {
		return teller.Usage(ctx, t)
	}
	list, err := c.Stats(ctx, t)
	if err != nil {
		return nil, err
	}
	var out []gaffer.Use
	for i := range list {
		for _, p := range list[i].Processes {
			all := []gaffer.ProcessStats{p}
			out = append(out, gaffer.Use{
				ID: p.ID, PID: p.PID,
				CPU: total(all, func(p *gaffer.ProcessStats) float64 { return p.CPU }),
				RSS: uint64(total(all, func(p *gaffer.ProcessStats) float64 { return float64(p.RSS) })),
			})
		}
	}
	return out, nil
}

func listGroups(c *call) error {
	groups, err := c.c.Groups(c.r.Context())
	if err != nil {
		return err
	}
	if groups == nil {
		groups = []gaffer.Group{}
	}
	return c.reply(http.StatusOK, groups)
}

func showGroup(c *call) error {
	name := c.r.PathValue("group")
	groups, err := c.c.Groups(c.r.Context())
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g.Name == name {
			return c.reply(http.StatusOK, g)
		}
	}
	return fmt.Errorf("group %q: %w", name, gaffer.ErrNotFound)
}

func addProcess(c *call) error {
	var t gaffer.Template
	if err := c.decode(&t); err != nil {
		return err
	}
	return c.add(t)
}

func (c *call) add(t gaffer.Template) error {
	c.name = t.Name
	done, err := c.waited(func() error { return c.c.Add(c.patience, t) })
	if err != nil {
		return err
	}
	if !done {
		c.note = "begun"
	}
	c.w.Header().Set("Location", "/v1/processes/"+url.PathEscape(t.Name))
	return c.answerStatus(http.StatusCreated, gaffer.Target(t.Name), nil)
}

func updateProcess(c *call) error {
	name := c.r.PathValue("target")
	if err := gaffer.CheckName(name); err != nil {
		return &faults{gaffer.ErrInvalid, []Fault{{"path.target", err.Error()}}}
	}
	create, err := c.flag("create")
	if err != nil {
		return err
	}
	var t gaffer.Template
	if err := c.decode((*namelessTemplate)(&t)); err != nil {
		return err
	}
	if t.Name != "" && t.Name != name {
		return &faults{gaffer.ErrInvalid, []Fault{{"body.name", fmt.Sprintf("%q, but the path says %q", t.Name, name)}}}
	}
	t.Name = name
	done, err := c.waited(func() error { return c.c.Update(c.patience, t) })
	switch {
	case create && errors.Is(err, gaffer.ErrNotFound):
		c.note = "by creating it"
		return c.add(t)
	case err != nil:
		return err
	}
	return c.answerStatus(acceptedUnless(done), gaffer.Target(name), nil)
}

// flag is a parameter of the query that is true or false.
func (c *call) flag(name string) (bool, error) {
	q := c.r.URL.Query()
	if !q.Has(name) || q.Get(name) == "" {
		return q.Has(name), nil
	}
	v, err := strconv.ParseBool(q.Get(name))
	if err != nil {
		return false, badQuery(name, fmt.Sprintf("%q: want true or false", q.Get(name)))
	}
	return v, nil
}

func removeProcess(c *call) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	list, err := c.c.List(c.r.Context(), t)
	if err != nil {
		return err
	}
	done, err := c.waited(func() error { return c.c.Remove(c.patience, t) })
	if err != nil {
		return err
	}
	removed := make([]Removed, len(list))
	for i := range list {
		removed[i].Name = list[i].Status.Name
	}
	return c.reply(acceptedUnless(done), removed)
}
