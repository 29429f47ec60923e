package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// call is one request, on its way from a route to its answer. It belongs to the
// request's goroutine.
type call struct {
	s     *Server
	w     *begunWriter
	r     *http.Request
	route *route

	caller *Caller
	key    *heldKey          // nil: the caller has none
	c      gaffer.Controller // narrowed to what the caller may see and touch

	patience context.Context // bounds the waiting of what is asked of the Controller

	code int    // status of the answer
	name string // of an audit: what it is about
	note string // of an audit: how it was asked for

	announced bool // what goes on was audited when it began
}

// served is a route of one server.
type served struct {
	s     *Server
	route *route
}

func (h *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: h.s, w: &begunWriter{ResponseWriter: w}, r: r, route: h.route, code: http.StatusOK}
	defer c.rescue()
	err := c.admit()
	if err == nil {
		err = c.run()
	}
	c.audit(err)
	if err != nil {
		c.fail(err)
	}
	h.s.counters.count(c.code)
}

// admit finds out who asks, and whether that may use the route.
func (c *call) admit() error {
	if err := c.identify(); err != nil {
		return err
	}
	switch {
	case c.caller.Role < c.route.role:
		return fmt.Errorf("%s: the role %s may not do this, which needs %s: %w",
			c.caller.By, c.caller.Role, c.route.role, ErrForbidden)
	case c.route.whole && !c.caller.whole():
		return fmt.Errorf("%s: narrowed to %s, which this is not about: %w", c.caller.By, c.caller.Target, ErrForbidden)
	}
	c.c = c.s.control
	if !c.caller.whole() {
		c.c = &scoped{Controller: c.s.control, scope: c.caller.Target}
	}
	if c.caller.Role < Operator {
		c.c = &viewing{c.c}
	}
	return nil
}

func (c *call) run() error {
	if c.r.URL.RawQuery != "" && !c.route.stream && !c.route.hidden {
		if err := c.checkQuery(); err != nil {
			return err
		}
	}
	if c.r.ContentLength != 0 && !c.route.stream { // a stream's is written on as it comes
		c.boundBody()
	}
	if !c.route.stream {
		return c.route.handle(c)
	}
	if c.route.audit != "" {
		c.c = &announcing{c.c, c}
	}
	if c.r.Method == http.MethodHead {
		return nil
	}
	ctx, cancel := while(c.r.Context(), c.key)
	defer cancel()
	c.r = c.r.WithContext(ctx)
	return c.route.handle(c)
}

// checkQuery refuses parameters that the route does not have. Streams do so
// themselves.
func (c *call) checkQuery() error {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return &faults{errMalformed, []Fault{{"query", err.Error()}}}
	}
	found := &faults{sort: gaffer.ErrInvalid}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		known := slices.ContainsFunc(c.route.query, func(p param) bool { return p.name == name })
		switch {
		case !known:
			found.add("query."+name, "is not known")
		case len(values[name]) > 1:
			found.add("query."+name, "is given more than once")
		}
	}
	return found.err()
}

// boundBody bounds the size of the body, and the time to send it.
func (c *call) boundBody() {
	c.r.Body = http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, c.s.limits.Body)
	// A connection that has no deadlines is a test's.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(c.s.limits.Transfer))
}

// fail answers with what is wrong.
func (c *call) fail(err error) {
	p := problemOf(err)
	c.code = p.Status
	if p.Status == http.StatusInternalServerError {
		c.s.logger.Error("request", "method", c.r.Method, "path", c.r.URL.Path, "error", err)
	}
	writeProblem(c.w, c.r, p, err)
}

// rescue answers a request whose handler panicked, which is a fault of the program
// that must not end what it looks after. An answer that has begun is cut.
func (c *call) rescue() {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	c.s.logger.LogAttrs(context.Background(), slog.LevelError, "request: panic", slog.Any("panic", p),
		slog.String("method", c.r.Method), slog.String("path", c.r.URL.Path), slog.String("stack", stack()))
	c.audit(errInternal)
	if c.w.begun {
		c.s.counters.count(http.StatusInternalServerError)
		panic(http.ErrAbortHandler)
	}
	c.fail(errInternal)
	c.s.counters.count(c.code)
}

// buffers hold answers on their way, so that they cost no memory each.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keptBuffer is the largest buffer that is used again.
const keptBuffer = 64 << 10

func giveBack(b *bytes.Buffer) {
	if b.Cap() <= keptBuffer {
		b.Reset()
		buffers.Put(b)
	}
}

// jsonType is the value of a header that most answers have, made once.
var jsonType = []string{"application/json"}

// reply answers with a value in JSON.
func (c *call) reply(status int, v any) error {
	b := buffers.Get().(*bytes.Buffer)
	defer giveBack(b)
	if err := json.NewEncoder(b).Encode(v); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	c.send(status, b.Bytes())
	return nil
}

// replyStatuses answers with how templates are.
func (c *call) replyStatuses(status int, list []gaffer.Status) {
	b := buffers.Get().(*bytes.Buffer)
	defer giveBack(b)
	b.Write(append(appendStatuses(b.AvailableBuffer(), list), '\n'))
	c.send(status, b.Bytes())
}

// send answers with JSON.
func (c *call) send(status int, body []byte) {
	h := c.w.Header()
	h["Content-Type"] = jsonType
	if len(body) > 2048 { // shorter ones get it without being told
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.code = status
	if status != http.StatusOK {
		c.w.WriteHeader(status)
	}
	_, _ = c.w.Write(body) // who has gone needs no answer
}

// target is the target in the path.
func (c *call) target() (gaffer.Target, error) {
	t := gaffer.Target(c.r.PathValue("target"))
	if err := t.Check(); err != nil {
		return "", &faults{gaffer.ErrInvalid, []Fault{{"path.target", err.Error()}}}
	}
	return t, nil
}
