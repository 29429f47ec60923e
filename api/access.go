package api

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/gafferpm/gaffer"
)

// KeyRequest is the body of making a key.
type KeyRequest struct {
	Name   string        `json:"name" minLength:"1" maxLength:"128"`
	Role   Role          `json:"role"`
	Target gaffer.Target `json:"target,omitempty"`
}

func accessRoutes() []route {
	return []route{
		{
			method: "GET", path: "/v1/keys", role: Admin, whole: true, handle: listKeys,
			id: "list-keys", summary: "The keys, without their secrets", answer: []KeyInfo{},
		},
		{
			method: "POST", path: "/v1/keys", role: Admin, whole: true, audit: "create key", handle: addKey,
			id: "add-key", summary: "Make a key, which is shown this once",
			body: KeyRequest{}, status: http.StatusCreated, answer: NewKey{},
		},
		{
			method: "DELETE", path: "/v1/keys/{id}", role: Admin, whole: true, audit: "delete key", handle: removeKey,
			id: "remove-key", summary: "Delete a key, and end what it has open", status: http.StatusNoContent,
		},
		{
			method: "GET", path: "/v1/webhooks", role: Admin, whole: true, handle: listWebhooks,
			id: "list-webhooks", summary: "The webhooks, and what they could not deliver", answer: []Webhook{},
		},
		{
			method: "GET", path: "/v1/forwards", role: Admin, whole: true, handle: listForwards,
			id: "list-forwards", summary: "Where lines are forwarded to, and how that goes", answer: []Forward{},
		},
		{
			method: "POST", path: "/v1/webhooks/{name}/retry", role: Admin, whole: true, audit: "retry webhook",
			handle: retryWebhook, id: "retry-webhook", summary: "Try again what a webhook has given up",
			body: Nothing{}, optional: true, status: http.StatusNoContent,
		},
	}
}

func listKeys(c *call) error { return c.reply(http.StatusOK, c.s.keys.list()) }

func addKey(c *call) error {
	if c.s.keys.store == nil {
		return errUnsupported
	}
	var req KeyRequest
	if err := c.decode(&req); err != nil {
		return err
	}
	if strings.ContainsFunc(req.Name, unicode.IsControl) {
		return &faults{gaffer.ErrInvalid, []Fault{{"body.name", "has a control character"}}}
	}
	if err := checkScope(req.Target); err != nil {
		return &faults{gaffer.ErrInvalid, []Fault{{"body.target", err.Error()}}}
	}
	key, text := makeKey(req.Name, req.Role, req.Target)
	c.name, c.note = key.ID, fmt.Sprintf("(%s), %s", key.Name, key.Role)
	if key.Target != "" {
		c.note += " of " + string(key.Target)
	}
	if err := c.s.keys.put(key); err != nil {
		return err
	}
	return c.reply(http.StatusCreated, NewKey{key.KeyInfo, text})
}

// checkScope tells what is wrong with the target of a key: it selects templates,
// for processes come and go.
func checkScope(t gaffer.Target) error {
	if t == "" {
		return nil
	}
	if err := t.Check(); err != nil {
		return err
	}
	if isID(t) || templateOf(t) != string(t) {
		return fmt.Errorf("%s: selects a process; want templates, as jobs:*", t)
	}
	return nil
}

func removeKey(c *call) error {
	if c.s.keys.store == nil {
		return errUnsupported
	}
	if err := c.s.keys.remove(c.r.PathValue("id")); err != nil {
		return err
	}
	return c.noContent()
}

func (c *call) noContent() error {
	c.code = http.StatusNoContent
	c.w.WriteHeader(c.code)
	return nil
}

func listWebhooks(c *call) error {
	list := []Webhook{}
	if c.s.opts.Webhooks != nil {
		have, err := c.s.opts.Webhooks.List(c.r.Context())
		if err != nil {
			return err
		}
		list = append(list, have...)
	}
	for i := range list {
		if list[i].Kinds == nil {
			list[i].Kinds = []gaffer.Kind{}
		}
		if list[i].Dead == nil {
			list[i].Dead = []DeadLetter{}
		}
	}
	return c.reply(http.StatusOK, list)
}

func listForwards(c *call) error {
	list := []Forward{}
	if c.s.opts.Forwards != nil {
		have, err := c.s.opts.Forwards.List(c.r.Context())
		if err != nil {
			return err
		}
		list = append(list, have...)
	}
	for i := range list {
		if list[i].Streams == nil {
			list[i].Streams = []string{}
		}
	}
	return c.reply(http.StatusOK, list)
}

func retryWebhook(c *call) error {
	if err := c.decode(&Nothing{}); err != nil {
		return err
	}
	if c.s.opts.Webhooks == nil {
		return fmt.Errorf("webhook %q: %w", c.r.PathValue("name"), gaffer.ErrNotFound)
	}
	if err := c.s.opts.Webhooks.Retry(c.r.Context(), c.r.PathValue("name")); err != nil {
		return err
	}
	return c.noContent()
}
