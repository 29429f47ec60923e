package feed

import (
	"net/http"
	"regexp"
	"time"

	"github.com/gafferpm/gaffer"
)

// usualTail is how many lines of before are shown when nobody says how many.
const usualTail = 10

// logQuery is what a request for logs asks for.
type logQuery struct {
	target       gaffer.Target
	how          gaffer.OutputOptions
	since, until time.Time // zero: no limit
	grep         *regexp.Regexp
	prefix, raw  bool
	format       framing
}

// Logs serves GET /v1/logs: lines as text, as lines of JSON or as server-sent
// events.
func (f *Feed) Logs(w http.ResponseWriter, r *http.Request, c gaffer.Controller) error {
	q, err := readLogQuery(r)
	if err != nil {
		return err
	}
	ctx, done, err := f.begin(r)
	if err != nil {
		return err
	}
	defer done()
	how := q.how
	if q.filters() {
		how.Tail = -1 // which of them are wanted shows only when they are read
	}
	output, err := c.Output(r.Context(), q.target, how)
	if err != nil {
		return err
	}
	defer output.Close()
	a := f.open(w, q.format.contentType())
	defer a.close()
	if r.Method == http.MethodHead {
		return nil
	}
	p := pump[gaffer.Output]{answer: a, format: q.format, stream: q.arrange(output), ends: q.how.NoFollow, put: q.putter()}
	if p.run(ctx) != nil && q.format == (text{}) {
		a.cut() // text has no mark of its end that would be missing
	}
	return nil
}

// putter is how a line is put into the answer.
func (q *logQuery) putter() func([]byte, gaffer.Output) ([]byte, error) {
	if q.format == (text{}) {
		return (&liner{prefix: q.prefix, raw: q.raw}).put
	}
	return func(b []byte, o gaffer.Output) ([]byte, error) {
		all, err := appendOutput(q.format.begin(b, "output"), &o)
		if err != nil {
			return b, err
		}
		return q.format.finish(all), nil
	}
}

func (q *logQuery) filters() bool {
	return q.grep != nil || !q.since.IsZero() || !q.until.IsZero()
}

func (q *logQuery) wants(o *gaffer.Output) bool {
	return (q.since.IsZero() || !o.Time.Before(q.since)) &&
		(q.until.IsZero() || !o.Time.After(q.until)) &&
		(q.grep == nil || q.grep.Match(o.Data))
}

func readLogQuery(r *http.Request) (*logQuery, error) {
	p := query(r, "target", "stream", "tail", "follow", "since", "until", "grep", "prefix", "raw")
	now := time.Now()
	q := &logQuery{
		target: p.target(),
		since:  p.moment("since", now), until: p.moment("until", now),
		grep:   p.expression("grep"),
		prefix: p.truth("prefix", false), raw: p.truth("raw", false),
	}
	usual := usualTail
	if q.filters() {
		usual = -1
	}
	q.how = gaffer.OutputOptions{Labels: p.labels(), Tail: p.tail(usual), NoFollow: !p.truth("follow", false)}
	if !q.until.IsZero() && !q.until.After(now) {
		q.how.NoFollow = true
	}
	if !q.since.IsZero() && !q.until.IsZero() && q.until.Before(q.since) {
		p.fault("until", "is before since")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	var err error
	if q.format, err = accepted(r, text{}, ndjson{}, sse{}); err != nil {
		return nil, err
	}
	if q.format != (text{}) {
		q.how.Raw = q.raw
		p.onlyText(q)
	}
	return q, p.err()
}

// onlyText refuses what makes no sense with records of JSON.
func (p *params) onlyText(q *logQuery) {
	if q.prefix {
		p.fault("prefix", "only text has one")
	}
	if q.raw && q.grep != nil {
		p.fault("grep", "raw output has no lines")
	}
}
