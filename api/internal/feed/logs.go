package feed

import (
	"net/http"
	"time"

	"github.com/gafferpm/gaffer"
)

// usualTail is how many lines of before are shown when nobody says how many.
const usualTail = 10

// logQuery is what a request for logs asks for.
type logQuery struct {
	target      gaffer.Target
	how         gaffer.OutputOptions
	prefix, raw bool
	format      framing
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
	output, err := c.Output(r.Context(), q.target, q.how)
	if err != nil {
		return err
	}
	defer output.Close()
	a := f.open(w, q.format.contentType())
	defer a.close()
	if r.Method == http.MethodHead {
		return nil
	}
	p := pump[gaffer.Output]{answer: a, format: q.format, stream: until(output, q.how.Until), ends: q.how.NoFollow, put: q.putter()}
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

func readLogQuery(r *http.Request) (*logQuery, error) {
	p := query(r, "target", "stream", "tail", "follow", "since", "until", "grep", "text", "field", "after", "gone", "prefix", "raw")
	now := time.Now()
	q := &logQuery{target: p.target(), prefix: p.truth("prefix", false), raw: p.truth("raw", false)}
	q.how = gaffer.OutputOptions{
		Labels: p.labels(), NoFollow: !p.truth("follow", false), Gone: p.truth("gone", false),
		Since: p.moment("since", now), Until: p.moment("until", now), Grep: p.expression("grep"), Fields: p.values["field"],
	}
	q.how.Text, _ = p.one("text")
	q.how.After, _ = p.one("after")
	usual := usualTail
	if q.chooses() || !q.how.Since.IsZero() || !q.how.Until.IsZero() {
		usual = -1
	}
	q.how.Tail = p.tail(usual)
	if !q.how.Until.IsZero() && !q.how.Until.After(now) {
		q.how.NoFollow = true
	}
	if !q.how.Since.IsZero() && !q.how.Until.IsZero() && q.how.Until.Before(q.how.Since) {
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
	if q.raw && q.chooses() {
		p.fault("raw", "raw output has no lines that grep, text or field could choose")
	}
}

// chooses says that lines are chosen by what is in them.
func (q *logQuery) chooses() bool {
	return q.how.Grep != "" || q.how.Text != "" || len(q.how.Fields) > 0
}
