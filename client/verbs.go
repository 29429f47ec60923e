package client

import (
	"context"
	"net/http"

	"github.com/gafferpm/gaffer"
)

// Add implements gaffer.Controller.
func (c *Client) Add(ctx context.Context, t gaffer.Template) error {
	if err := sendable(t); err != nil {
		return err
	}
	_, err := c.order(ctx, call{method: http.MethodPost, path: "/v1/processes", body: t})
	return ofTemplate(t.Name, err)
}

// Update implements gaffer.Controller.
func (c *Client) Update(ctx context.Context, t gaffer.Template) error {
	if err := sendable(t); err != nil {
		return err
	}
	path, err := of(gaffer.Target(t.Name), "")
	if err != nil {
		return err
	}
	_, err = c.order(ctx, call{method: http.MethodPut, path: path, body: t, again: true})
	return ofTemplate(t.Name, err)
}

// Remove implements gaffer.Controller.
func (c *Client) Remove(ctx context.Context, target gaffer.Target) error {
	path, err := of(target, "")
	if err != nil {
		return err
	}
	_, err = c.order(ctx, call{method: http.MethodDelete, path: path, again: true})
	return err
}

// Start implements gaffer.Controller.
func (c *Client) Start(ctx context.Context, target gaffer.Target) error {
	return c.verb(ctx, target, call{path: "/start", again: true})
}

// Stop implements gaffer.Controller.
func (c *Client) Stop(ctx context.Context, target gaffer.Target) error {
	return c.verb(ctx, target, call{path: "/stop", again: true})
}

// Restart implements gaffer.Controller.
func (c *Client) Restart(ctx context.Context, target gaffer.Target, how gaffer.RestartMode) error {
	var body any
	if how == gaffer.Overlap {
		body = map[string]string{"mode": "overlap"}
	}
	return c.verb(ctx, target, call{path: "/restart", body: body})
}

// Undo implements gaffer.Controller.
func (c *Client) Undo(ctx context.Context, target gaffer.Target) error {
	return c.verb(ctx, target, call{path: "/undo"})
}

// RunNow implements gaffer.Controller.
func (c *Client) RunNow(ctx context.Context, target gaffer.Target) error {
	return c.verb(ctx, target, call{path: "/run"})
}

// Signal implements gaffer.Controller.
func (c *Client) Signal(ctx context.Context, target gaffer.Target, sig gaffer.Signal) error {
	return c.verb(ctx, target, call{path: "/signal", body: map[string]gaffer.Signal{"signal": sig}})
}

// Scale implements gaffer.Controller.
func (c *Client) Scale(ctx context.Context, target gaffer.Target, change gaffer.Change) (map[string]int, error) {
	path, err := of(target, "/scale")
	if err != nil {
		return nil, err
	}
	body, err := c.order(ctx, call{method: http.MethodPost, path: path, body: map[string]string{"count": change.String()}})
	if len(body) == 0 {
		return nil, err
	}
	var list []gaffer.Status
	if e := c.decode(body, &list); e != nil {
		return nil, e
	}
	wanted := make(map[string]int, len(list))
	for _, s := range list {
		wanted[s.Name] = s.MaxProcesses
	}
	return wanted, err
}

// verb gives an order about a target. The path of r begins behind that.
func (c *Client) verb(ctx context.Context, target gaffer.Target, r call) error {
	path, err := of(target, r.path)
	if err != nil {
		return err
	}
	r.method, r.path = http.MethodPost, path
	_, err = c.order(ctx, r)
	return err
}

// sendable says what of a template can't be sent to another program.
func sendable(t gaffer.Template) error {
	if len(t.Files) > 0 {
		return invalidf("template %s: files can only be passed on by the program that has them open", t.Name)
	}
	return nil
}
