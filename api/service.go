package api

import (
	"cmp"
	"net/http"
	"os"
	"runtime"
	"time"
)

// Pong is the answer of ping.
type Pong struct {
	OK bool `json:"ok"`
}

// Version says what serves.
type Version struct {
	Version     string    `json:"version"`
	Go          string    `json:"go"`
	API         string    `json:"api"`
	Node        string    `json:"node"`
	PID         int       `json:"pid"`
	Started     time.Time `json:"started"`
	Descendants string    `json:"descendants,omitempty" doc:"How the processes that a service starts are known to be its own: cgroup, subreaper or environment"`
	Upgrade     *Upgraded `json:"upgrade,omitempty" doc:"How the latest upgrade went"`
}

// Upgraded is how an upgrade went.
type Upgraded struct {
	Binary string    `json:"binary"`
	Time   time.Time `json:"time"`
	Done   bool      `json:"done" doc:"Else the program before was taken back"`
	Reason string    `json:"reason,omitempty"`
}

// Upgrade asks for another program to take over.
type Upgrade struct {
	Binary string `json:"binary" minLength:"1" doc:"An absolute path on the daemon's machine"`
}

func serviceRoutes() []route {
	return []route{
		metricsRoute(),
		{
			method: "GET", path: "/healthz", role: Nobody, handle: ping,
			id: "health", summary: "Whether the daemon answers", answer: Pong{},
		},
		{
			method: "GET", path: "/v1/ping", role: Viewer, handle: ping,
			id: "ping", summary: "Whether the daemon answers, and the caller may ask it", answer: Pong{},
		},
		{
			method: "GET", path: "/v1/version", role: Viewer, handle: version,
			id: "version", summary: "What the daemon is", answer: Version{},
		},
		{
			method: "POST", path: "/v1/shutdown", role: Admin, whole: true, audit: "shutdown", handle: shutdown,
			id: "shutdown", summary: "Stop all processes and end the daemon", status: http.StatusAccepted,
			body: Nothing{}, optional: true, answer: Pong{},
		},
		{
			method: "POST", path: "/v1/upgrade", role: Admin, whole: true, audit: "upgrade", handle: upgrade,
			id: "upgrade", summary: "Have another program take over the running services", status: http.StatusAccepted,
			body: Upgrade{}, answer: Pong{},
		},
		{
			method: "GET", path: "/v1/openapi.json", role: Nobody, handle: showDocument,
			id: "openapi", summary: "This document", answer: map[string]any{},
		},
	}
}

var pong = []byte("{\"ok\":true}\n")

func ping(c *call) error {
	c.send(http.StatusOK, pong)
	return nil
}

func version(c *call) error {
	v := Version{
		Version: c.s.opts.Version, Go: runtime.Version(), API: "v1", Descendants: c.s.opts.Descendants,
		Node: c.s.opts.Node, PID: cmp.Or(c.s.opts.PID, os.Getpid()), Started: c.s.started,
	}
	if c.s.opts.Upgraded != nil {
		v.Upgrade = c.s.opts.Upgraded()
	}
	return c.reply(http.StatusOK, v)
}

func shutdown(c *call) error {
	if c.s.opts.Shutdown == nil {
		return errUnsupported
	}
	if err := c.decode(&Nothing{}); err != nil {
		return err
	}
	c.send(http.StatusAccepted, pong)
	c.s.opts.Shutdown()
	return nil
}

func upgrade(c *call) error {
	if c.s.opts.Upgrade == nil {
		return errUnsupported
	}
	var wish Upgrade
	if err := c.decode(&wish); err != nil {
		return err
	}
	if err := c.s.opts.Upgrade(wish.Binary); err != nil {
		return err
	}
	c.send(http.StatusAccepted, pong)
	return nil
}

func showDocument(c *call) error {
	doc, err := c.s.document()
	if err != nil {
		return err
	}
	c.send(http.StatusOK, doc.json)
	return nil
}
