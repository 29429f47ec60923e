package client

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gafferpm/gaffer"
)

// List implements gaffer.Controller.
func (c *Client) List(ctx context.Context, target gaffer.Target) ([]gaffer.Info, error) {
	var list []gaffer.Info
	return list, c.get(ctx, target, "", &list)
}

// Status is how the templates of a target are: List without the templates, which
// is quicker and all that most want to know.
func (c *Client) Status(ctx context.Context, target gaffer.Target) ([]gaffer.Status, error) {
	path, err := of(target, "/status")
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	_, body, err := c.exchange(ctx, call{method: http.MethodGet, path: path})
	if err != nil {
		return nil, err
	}
	list, err := decodeStatuses(body)
	if err != nil {
		return nil, fmt.Errorf("%s: answer: %w", c.host, err)
	}
	return list, nil
}

// Stats implements gaffer.Controller.
func (c *Client) Stats(ctx context.Context, target gaffer.Target) ([]gaffer.Stats, error) {
	var list []gaffer.Stats
	return list, c.get(ctx, target, "/stats", &list)
}

// Groups implements gaffer.Controller.
func (c *Client) Groups(ctx context.Context) ([]gaffer.Group, error) {
	var list []gaffer.Group
	err := c.read(ctx, call{method: http.MethodGet, path: "/v1/groups"}, &list)
	return list, err
}

func (c *Client) get(ctx context.Context, target gaffer.Target, what string, into any) error {
	path, err := of(target, what)
	if err != nil {
		return err
	}
	return c.read(ctx, call{method: http.MethodGet, path: path}, into)
}
