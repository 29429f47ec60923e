package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gafferpm/gaffer"
)

// Plan implements gaffer.Configurator.
func (c *Client) Plan(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	var p gaffer.Plan
	d, err := sent(d)
	if err != nil {
		return p, err
	}
	err = c.read(ctx, call{method: http.MethodPost, path: "/v1/plan", body: d}, &p)
	return p, err
}

// Apply implements gaffer.Configurator.
func (c *Client) Apply(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	d, err := sent(d)
	if err != nil {
		return gaffer.Plan{}, err
	}
	return c.apply(ctx, call{method: http.MethodPost, path: "/v1/apply", body: d})
}

// sent is what a source wants, as it is sent: without templates it has an empty
// list of them.
func sent(d gaffer.Desired) (gaffer.Desired, error) {
	if d.Templates == nil {
		d.Templates = []gaffer.Template{}
	}
	var faults []error
	for _, t := range d.Templates {
		faults = append(faults, sendable(t))
	}
	return d, errors.Join(faults...)
}

// Reload implements gaffer.Configurator.
func (c *Client) Reload(ctx context.Context) (gaffer.Plan, error) {
	return c.apply(ctx, call{method: http.MethodPost, path: "/v1/reload"})
}

func (c *Client) apply(ctx context.Context, r call) (gaffer.Plan, error) {
	var p gaffer.Plan
	body, err := c.order(ctx, r)
	if len(body) == 0 {
		return p, err
	}
	if e := c.decode(body, &p); e != nil {
		return gaffer.Plan{}, e
	}
	// The steps that failed are part of the answer, and its error.
	failed := []error{err}
	for _, step := range p.Steps {
		if step.Error != "" {
			failed = append(failed, &refusal{text: step.Error})
		}
	}
	return p, errors.Join(failed...)
}

// Origins implements gaffer.Configurator.
func (c *Client) Origins(ctx context.Context, target gaffer.Target) ([]gaffer.Origin, error) {
	if err := target.Check(); err != nil {
		return nil, err
	}
	var list []gaffer.Origin
	err := c.read(ctx, call{
		method: http.MethodGet, path: "/v1/config", query: url.Values{"target": {string(target)}},
	}, &list)
	return list, err
}
