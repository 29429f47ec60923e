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
	err := c.get(ctx, target, "", &list)
	return list, err
}

// Status is how the templates of a target are: List without the templates, which
// is quicker and all that most want to know.
func (c *Client) Status(ctx context.Context, target gaffer.Target) ([]gaffer.Status, error) {
	body, err := c.answer(ctx, target, "/status")
	if err != nil {
		return nil, err
	}
	list, err := decodeStatuses(body)
	if err != nil {
		return nil, fmt.Errorf("%s: answer: %w", c.host, err)
	}
	return list, nil
}

// Usage is what the processes of a target use, without what is dear to read or
// seldom asked for: Stats has that.
func (c *Client) Usage(ctx context.Context, target gaffer.Target) ([]gaffer.Use, error) {
	body, err := c.answer(ctx, target, "/usage")
	if err != nil {
		return nil, err
	}
	list, err := decodeUses(body)
	if err != nil {
		return nil, fmt.Errorf("%s: answer: %w", c.host, err)
	}
	return list, nil
}

// answer is what the daemon says of something below a target.
func (c *Client) answer(ctx context.Context, target gaffer.Target, what string) ([]byte, error) {
	path, err := of(target, what)
	if err != nil {
		return nil, err
	}
	return c.look(ctx, call{method: http.MethodGet, path: path})
}

// Stats implements gaffer.Controller.
func (c *Client) Stats(ctx context.Context, target gaffer.Target) ([]gaffer.Stats, error) {
	var list []gaffer.Stats
	err := c.get(ctx, target, "/stats", &list)
	return list, err
}

// History implements gaffer.Controller.
func (c *Client) History(ctx context.Context, target gaffer.Target) ([]gaffer.Event, error) {
	var list []gaffer.Event
	err := c.get(ctx, target, "/history", &list)
	return list, err
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
