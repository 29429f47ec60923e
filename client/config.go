package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gafferpm/gaffer"
)

// Plan implements gaffer.Configurator.
func (c *Client) Plan(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	var p gaffer.Plan
	err := c.read(ctx, call{method: http.MethodPost, path: "/v1/plan", body: d}, &p)
	return p, err
}

// Apply implements gaffer.Configurator.
func (c *Client) Apply(ctx context.Context, d gaffer.Desired) (gaffer.Plan, error) {
	return c.apply(ctx, call{method: http.MethodPost, path: "/v1/apply", body: d})
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
	return p, err
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
