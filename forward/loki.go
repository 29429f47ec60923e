package forward

import (
	"strconv"

	"github.com/gafferpm/gaffer"
)

// lokiFormat is what Loki's push API takes: values by their labels
// (https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs).
type lokiFormat struct{}

type lokiPush struct {
	Streams []lokiStream `json:"streams"`
}

type lokiStream struct {
	Stream map[string]string `json:"stream"`
	Values [][2]string       `json:"values"` // time in nanoseconds, line
}

func (lokiFormat) request(d *Destination, o *Options, lines []gaffer.Output) any {
	type key struct {
		name  string
		slot  int
		label string
	}
	var push lokiPush
	at := map[key]int{}
	for i := range lines {
		l := &lines[i]
		k := key{l.Name, l.Slot, l.Label}
		n, known := at[k]
		if !known {
			n = len(push.Streams)
			at[k] = n
			labels := map[string]string{"name": l.Name, "slot": strconv.Itoa(l.Slot), "stream": l.Label, "host": o.Host}
			for name, value := range d.Labels {
				labels[name] = value
			}
			push.Streams = append(push.Streams, lokiStream{Stream: labels})
		}
		push.Streams[n].Values = append(push.Streams[n].Values, [2]string{strconv.FormatInt(l.Time.UnixNano(), 10), string(l.Data)})
	}
	return push
}

func (lokiFormat) refused([]byte) int { return 0 }
