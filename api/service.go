package api

import (
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
	Version string    `json:"version"`
	Go      string    `json:"go"`
	API     string    `json:"api"`
	Node    string    `json:"node"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
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
	return c.reply(http.StatusOK, Version{
		Version: c.s.opts.Version, Go: runtime.Version(), API: "v1",
		Node: c.s.opts.Node, PID: os.Getpid(), Started: c.s.started,
	})
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

func showDocument(c *call) error {
	doc, err := c.s.document()
	if err != nil {
		return err
	}
	c.send(http.StatusOK, doc.json)
	return nil
}
