package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// longestAfter bounds the cursors in a request, in bytes: of more streams than that only
// the latest one goes.
const longestAfter = 8 << 10

// largestWrite is how many bytes are written with one request. A daemon takes
// 1 MiB unless it was told otherwise.
const largestWrite = 256 << 10

// Monitor implements gaffer.Controller.
func (c *Client) Monitor(ctx context.Context, target gaffer.Target, interval time.Duration) (gaffer.Stream[[]gaffer.Stats], error) {
	src := &readings{query: url.Values{"target": {string(target)}}}
	if interval != 0 {
		src.query.Set("interval", interval.String())
	}
	return open(ctx, c, target, src)
}

// Subscribe implements gaffer.Controller.
func (c *Client) Subscribe(ctx context.Context, target gaffer.Target, how gaffer.EventOptions) (gaffer.Stream[gaffer.Event], error) {
	for _, k := range how.Kinds {
		if strings.Contains(string(k), ",") { // which would be two on the way
			return nil, invalidf("event kind %q: unknown; want one of %v", k, gaffer.Kinds())
		}
	}
	return open(ctx, c, target, newHappenings(target, how))
}

// Output implements gaffer.Controller. After a connection broke it goes on where it was
// with output that is kept in log files. With other output a gaffer.Missed of 0 says
// that some may be missing there, nobody knows how much: what the daemon still has of it
// follows; of raw output it does not.
func (c *Client) Output(ctx context.Context, target gaffer.Target, how gaffer.OutputOptions) (gaffer.Stream[gaffer.Output], error) {
	return open(ctx, c, target, newWritings(target, how))
}

// Write implements gaffer.Controller.
func (c *Client) Write(ctx context.Context, target gaffer.Target, label string, data []byte) error {
	path, err := of(target, "/streams/"+url.PathEscape(label))
	if err != nil {
		return err
	}
	for {
		n := min(len(data), largestWrite)
		if err := ctx.Err(); err != nil {
			return err
		}
		part := append([]byte{}, data[:n]...) // not nil, even when it is empty
		if _, _, err := c.exchange(ctx, call{method: http.MethodPost, path: path, raw: part}); err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// readings is the source of a monitor.
type readings struct{ query url.Values }

func (r *readings) call(bool) call         { return feedCall("/v1/stats", r.query) }
func (*readings) opened(http.Header)       {}
func (*readings) lost() error              { return nil } // the next reading is as good
func (*readings) keep([]gaffer.Stats) bool { return true }

// happenings is the source of a subscription.
type happenings struct {
	query url.Values
	last  uint64 // the event to go on after
	known bool   // last is known
}

func newHappenings(target gaffer.Target, how gaffer.EventOptions) *happenings {
	h := &happenings{query: url.Values{"target": {string(target)}}}
	for _, k := range how.Kinds {
		h.query.Add("kind", string(k))
	}
	switch {
	case how.Since != nil:
		h.last, h.known = *how.Since, true
	case how.Tail != 0:
		h.query.Set("tail", strconv.Itoa(how.Tail))
	}
	if how.NoFollow {
		h.query.Set("follow", "false")
	}
	return h
}

func (h *happenings) call(bool) call {
	if h.known {
		h.query.Del("tail")
		h.query.Set("since", strconv.FormatUint(h.last, 10))
	}
	return feedCall("/v1/events", h.query)
}

// opened notes where the stream begins, which the daemon tells where nothing of
// before was asked for, and something has happened before.
func (h *happenings) opened(header http.Header) {
	if h.known || h.query.Has("tail") {
		return
	}
	h.known = true
	if seq, err := strconv.ParseUint(header.Get("Last-Event-ID"), 10, 64); err == nil {
		h.last = seq
	}
}

func (*happenings) lost() error { return nil }

// keep notes an event. One that was there before is none.
func (h *happenings) keep(e gaffer.Event) bool {
	if h.known && e.Seq <= h.last {
		return false
	}
	h.last, h.known = e.Seq, true
	return true
}

// writings is the source of output.
type writings struct {
	query   url.Values
	raw     bool
	cursors gaffer.Cursors
	exact   bool      // all that was delivered has cursors
	last    time.Time // of what was delivered, the latest
}

func newWritings(target gaffer.Target, how gaffer.OutputOptions) *writings {
	w := &writings{raw: how.Raw, exact: !how.Raw, query: url.Values{
		"target": {string(target)},
		"tail":   {strconv.Itoa(how.Tail)},
		"follow": {strconv.FormatBool(!how.NoFollow)},
	}}
	for _, l := range how.Labels {
		w.query.Add("stream", l)
	}
	for _, f := range how.Fields {
		w.query.Add("field", f)
	}
	if !how.Since.IsZero() {
		w.query.Set("since", how.Since.Format(time.RFC3339Nano))
	}
	if !how.Until.IsZero() {
		w.query.Set("until", how.Until.Format(time.RFC3339Nano))
	}
	for name, text := range map[string]string{"grep": how.Grep, "text": how.Text, "after": how.After} {
		if text != "" {
			w.query.Set(name, text)
		}
	}
	for name, is := range map[string]bool{"raw": how.Raw, "gone": how.Gone} {
		if is {
			w.query.Set(name, "true")
		}
	}
	return w
}

// call asks, after a break, for what the daemon still has of what was written
// since. Of raw output it asks for nothing: pieces are not cut again where they were.
func (w *writings) call(again bool) call {
	switch {
	case !again || w.last.IsZero():
	case w.raw:
		w.query.Del("after")
		w.query.Set("tail", "0")
	case w.exact:
		w.query.Set("after", w.cursors.After(longestAfter))
	default:
		w.query.Set("tail", "-1")
		w.query.Set("since", w.last.Add(1).Format(time.RFC3339Nano))
	}
	return feedCall("/v1/logs", w.query)
}

func (*writings) opened(http.Header) {}

// lost tells of a loss even where there may be none, unless all had a cursor: what one
// process wrote before another's last line, or a moment after its own, can't be asked
// for, nor what the daemon does not keep.
func (w *writings) lost() error {
	if w.exact && !w.last.IsZero() {
		return nil
	}
	return gaffer.Missed(0)
}

func (w *writings) keep(o gaffer.Output) bool {
	w.cursors.Read(o)
	w.exact = w.exact && o.Cursor != ""
	if o.Time.After(w.last) {
		w.last = o.Time
	}
	return true
}

func feedCall(path string, query url.Values) call {
	return call{method: http.MethodGet, path: path, query: query, accept: "application/x-ndjson"}
}
