package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/gafferpm/gaffer"
)

// Version is what a daemon says of itself.
type Version struct {
	Version     string    `json:"version"` // of gaffer
	Go          string    `json:"go"`      // that it was built with
	API         string    `json:"api"`     // "v1"
	Node        string    `json:"node"`
	PID         int       `json:"pid"`
	Started     time.Time `json:"started"`
	Descendants string    `json:"descendants,omitempty"` // how what services start is known to be theirs
	Upgrade     *Upgraded `json:"upgrade,omitempty"`     // the latest; nil: there was none
}

// Upgraded is how an upgrade went.
type Upgraded struct {
	Binary string    `json:"binary"`
	Time   time.Time `json:"time"`
	Done   bool      `json:"done"` // else the program before was taken back
	Reason string    `json:"reason,omitempty"`
}

// Key is an API key, without what makes it one.
type Key struct {
	ID      string        `json:"id"`
	Name    string        `json:"name"`             // for people
	Role    string        `json:"role"`             // "viewer", "operator" or "admin"
	Target  gaffer.Target `json:"target,omitempty"` // what it may see and touch, "" for all
	Created time.Time     `json:"created"`
	// LastUsed is zero for a key that was not used since the daemon began.
	LastUsed time.Time `json:"last_used,omitzero"`
	// Key is what to present. It is there once: in the answer of NewKey.
	Key string `json:"key,omitempty"`
}

// Webhook is an address that events are posted to, and how that goes.
type Webhook struct {
	Name      string        `json:"name"`
	URL       string        `json:"url"`
	Target    gaffer.Target `json:"target"`
	Kinds     []gaffer.Kind `json:"kinds"`
	Pending   int           `json:"pending"`   // events that wait to be posted
	Delivered uint64        `json:"delivered"` // since the daemon began
	Failed    uint64        `json:"failed"`    // attempts, since the daemon began
	LastError string        `json:"last_error,omitempty"`
	Dead      []DeadLetter  `json:"dead,omitempty"` // given up
}

// Forward is where lines are sent to, and how that goes.
type Forward struct {
	Name      string        `json:"name"`
	Type      string        `json:"type"`
	URL       string        `json:"url"`
	Target    gaffer.Target `json:"target"`
	Streams   []string      `json:"streams"`    // none: all
	Sent      uint64        `json:"sent"`       // lines, since the daemon began
	Lost      uint64        `json:"lost"`       // lines that were refused, or gone from memory before
	LostBytes int64         `json:"lost_bytes"` // what log files gave up before it was sent
	// Behind is when the oldest line was written that waits; zero: none does.
	Behind      time.Time `json:"behind,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// DeadLetter is an event that could not be posted.
type DeadLetter struct {
	Seq      uint64      `json:"seq"` // of the event
	Kind     gaffer.Kind `json:"kind"`
	Name     string      `json:"name"` // of the template
	Attempts int         `json:"attempts"`
	Error    string      `json:"error"`
	Time     time.Time   `json:"time"` // of the last attempt
}

// Ping says whether the daemon answers. It needs no key. ErrNoDaemon: it does not.
func (c *Client) Ping(ctx context.Context) error {
	return c.read(ctx, call{method: http.MethodGet, path: "/v1/ping"}, nil)
}

// Version asks which daemon it is.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.read(ctx, call{method: http.MethodGet, path: "/v1/version"}, &v)
	return v, err
}

// Shutdown tells the daemon to stop all that it runs and to end. It does not wait
// for that. What was wanted is kept: the next daemon starts it.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.read(ctx, call{method: http.MethodPost, path: "/v1/shutdown"}, nil)
}

// Upgrade has another program, an absolute path on the daemon's machine, take over the
// services. It does not wait for that: Version tells how it went.
func (c *Client) Upgrade(ctx context.Context, binary string) error {
	body := struct {
		Binary string `json:"binary"`
	}{binary}
	return c.read(ctx, call{method: http.MethodPost, path: "/v1/upgrade", body: body}, nil)
}

// Keys lists the API keys.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	var list []Key
	err := c.read(ctx, call{method: http.MethodGet, path: "/v1/keys"}, &list)
	return list, err
}

// NewKey makes an API key with a name for people, a role ("viewer", "operator" or
// "admin") and, unless it is "", a target beyond which it sees and touches nothing.
// The answer holds the key, which can't be had again.
func (c *Client) NewKey(ctx context.Context, name, role string, target gaffer.Target) (Key, error) {
	var key Key
	err := c.read(ctx, call{
		method: http.MethodPost, path: "/v1/keys", body: Key{Name: name, Role: role, Target: target}.wish(),
	}, &key)
	return key, err
}

// wish is what is asked for of a new key.
func (k Key) wish() map[string]string {
	w := map[string]string{"name": k.Name, "role": k.Role}
	if k.Target != "" {
		w["target"] = string(k.Target)
	}
	return w
}

// DeleteKey ends the validity of an API key.
func (c *Client) DeleteKey(ctx context.Context, id string) error {
	return c.read(ctx, call{method: http.MethodDelete, path: "/v1/keys/" + url.PathEscape(id)}, nil)
}

// Webhooks lists the webhooks, with what they could not deliver.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var list []Webhook
	err := c.read(ctx, call{method: http.MethodGet, path: "/v1/webhooks"}, &list)
	return list, err
}

// Forwards lists where lines are sent to, and how that goes.
func (c *Client) Forwards(ctx context.Context) ([]Forward, error) {
	var list []Forward
	err := c.read(ctx, call{method: http.MethodGet, path: "/v1/forwards"}, &list)
	return list, err
}

// RetryWebhook has a webhook try again what it has given up.
func (c *Client) RetryWebhook(ctx context.Context, name string) error {
	return c.read(ctx, call{method: http.MethodPost, path: "/v1/webhooks/" + url.PathEscape(name) + "/retry"}, nil)
}
