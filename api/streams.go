package api

import (
	"net/http"

	"github.com/gafferpm/gaffer"
)

func streamRoutes() []route {
	const text, ndjson, sse = "text/plain", "application/x-ndjson", "text/event-stream"
	follow := param{"follow", "go on with what is to come", true}
	tail := param{"tail", "begin with so many of before; -1: all that are kept", 0}
	stream := func(method, path, id, summary string, role Role, handle func(*call) error) route {
		return route{method: method, path: path, role: role, stream: true, handle: handle, id: id, summary: summary}
	}
	events := stream("GET", "/v1/events", "events", "Events, as they happen", Viewer, streamEvents)
	events.query = []param{
		targetParam, {"kind", "kinds of events, with commas between or repeated; default all", ""},
		{"since", "begin after the event of that number; Last-Event-ID wins", uint64(0)}, tail, follow,
		{"feed", "\"longpoll\" answers a list as soon as there is an event", ""},
		{"timeout", "of longpoll; default 30s", gaffer.Duration(0)},
	}
	events.types, events.record, events.answer = []string{ndjson, sse}, gaffer.Event{}, EventPage{}
	stats := stream("GET", "/v1/stats", "monitor", "What templates use, again and again", Viewer, streamStats)
	stats.query = []param{targetParam, {"interval", "default 1s, least 100ms", gaffer.Duration(0)}, follow}
	stats.types, stats.record = []string{ndjson, sse}, []gaffer.Stats{}
	logs := stream("GET", "/v1/logs", "logs", "What processes write, by lines", Viewer, streamLogs)
	logs.query = []param{
		targetParam, {"stream", "labels, with commas between or repeated; default all", ""},
		{"tail", "begin with so many lines of before; default 10; -1: all that are kept", 0},
		{"since", "only what was written from then on", ""}, {"until", "only what was written before", ""},
		{"grep", "only lines that this expression (RE2) matches", ""},
		{"text", "only lines that contain this", ""},
		{"field", "only lines that are JSON objects of which this holds: KEY, KEY=VALUE, KEY!=VALUE, KEY~REGEXP, KEY>NUMBER; repeated: all", []string{}},
		{"after", "resume after the lines whose cursors these are, with blanks between", ""},
		{"gone", "what slots and templates wrote that are no more, too", false},
		{"follow", "go on with what is to come; default false", false},
		{"prefix", "begin lines with the process that wrote them (text)", false},
		{"raw", "leave control characters as they are (text)", false},
	}
	logs.types, logs.record = []string{text, ndjson, sse}, gaffer.Output{}
	const one = "/v1/processes/{target}/streams/{label}"
	read := stream("GET", one, "read-stream", "The raw bytes of one process's stream, as they come", Viewer, streamRaw)
	read.types = []string{"application/octet-stream"}
	read.query = []param{{"tail", "begin with so many bytes of before; -1: all that are kept", 0}, follow}
	write := stream("POST", one, "write-stream", "Write to stdin or a custom stream of one process", Operator, streamWrite)
	write.audit, write.raw, write.answer = "send", "application/octet-stream", Written{}
	attach := stream("GET", "/v1/processes/{target}/attach", "attach",
		"A WebSocket to one process, both ways", Operator, streamAttach)
	attach.query = []param{
		{"stream", "labels, with commas between or repeated; default all", ""},
		{"tail", "begin with so many bytes of before, or lines; -1: all that are kept", 0},
		{"after", "begin after what this was the cursor of; tail does not count then", ""},
		{"lines", "output comes by lines, not as it is written", false},
		{"bytes", "output comes as binary messages, of one stream; default false", false},
	}
	attach.status, attach.audit = http.StatusSwitchingProtocols, "attach"
	return []route{events, stats, logs, read, write, attach}
}

// EventPage is the answer of a long poll.
type EventPage struct {
	Last   uint64         `json:"last"` // to go on from
	Events []gaffer.Event `json:"events"`
	Missed int            `json:"missed"` // events that were lost before these
}

// Written is the answer of writing to a stream.
type Written struct {
	Written int `json:"written"` // bytes
}

func streamEvents(c *call) error { return c.s.feed.Events(c.w, c.r, c.c) }
func streamStats(c *call) error  { return c.s.feed.Stats(c.w, c.r, c.c) }
func streamLogs(c *call) error   { return c.s.feed.Logs(c.w, c.r, c.c) }

func streamRaw(c *call) error   { return c.labelled(c.s.feed.Raw) }
func streamWrite(c *call) error { return c.labelled(c.s.feed.Write) }

func (c *call) labelled(serve func(http.ResponseWriter, *http.Request, gaffer.Controller, gaffer.Target, string) error) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	c.note = c.r.PathValue("label")
	return serve(c.w, c.r, c.c, t, c.r.PathValue("label"))
}

func streamAttach(c *call) error {
	t, err := c.target()
	if err != nil {
		return err
	}
	c.code = http.StatusSwitchingProtocols
	return c.s.feed.Attach(c.w, c.r, c.c, t)
}
