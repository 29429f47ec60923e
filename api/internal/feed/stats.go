package feed

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gafferpm/gaffer"
)

// leastInterval is how often what processes use can be asked for.
const leastInterval = 100 * time.Millisecond

// mostReadings is how many streams of what processes use there may be: each takes
// its own readings.
const mostReadings = 16

// Stats serves GET /v1/stats: a list of what each template uses, every interval.
func (f *Feed) Stats(w http.ResponseWriter, r *http.Request, c gaffer.Controller) error {
	p := query(r, "target", "interval", "follow")
	target := p.target()
	interval := p.duration("interval", time.Second)
	if interval < leastInterval {
		p.fault("interval", "%s: want at least %s", interval, leastInterval)
	}
	follow := p.truth("follow", true)
	if err := p.err(); err != nil {
		return err
	}
	format, err := accepted(r, ndjson{}, sse{})
	if err != nil {
		return err
	}
	ctx, done, err := f.begin(r)
	if err != nil {
		return err
	}
	defer done()
	if !follow {
		return f.statsOnce(w, r, c, target, format)
	}
	if f.readings.Add(1) > mostReadings {
		f.readings.Add(-1)
		return fmt.Errorf("%d streams of stats are open: %w", mostReadings, ErrTooMany)
	}
	defer f.readings.Add(-1)
	stats, err := c.Monitor(ctx, target, interval)
	if err != nil {
		return err
	}
	defer stats.Close()
	a := f.open(w, format.contentType())
	defer a.close()
	if r.Method == http.MethodHead {
		return nil
	}
	pump := pump[[]gaffer.Stats]{answer: a, format: format, stream: stats, put: func(b []byte, v []gaffer.Stats) ([]byte, error) {
		return putStats(b, format, v)
	}}
	_ = pump.run(ctx) // without the end's mark, the client asks again
	return nil
}

func (f *Feed) statsOnce(w http.ResponseWriter, r *http.Request, c gaffer.Controller, target gaffer.Target, format framing) error {
	stats, err := c.Stats(r.Context(), target)
	if err != nil {
		return err
	}
	b, err := putStats(nil, format, stats)
	if err != nil {
		return err
	}
	a := f.open(w, format.contentType())
	defer a.close()
	a.buf = format.end(b)
	a.flush()
	return nil
}

func putStats(b []byte, format framing, stats []gaffer.Stats) ([]byte, error) {
	if stats == nil {
		stats = []gaffer.Stats{}
	}
	data, err := json.Marshal(stats)
	if err != nil {
		return b, err
	}
	return format.finish(append(format.begin(b, "stats"), data...)), nil
}
