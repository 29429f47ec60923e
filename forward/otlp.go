package forward

import (
	"encoding/json"
	"strconv"

	"github.com/gafferpm/gaffer"
)

// otlpFormat is OpenTelemetry's ExportLogsServiceRequest in JSON
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp). The names of attributes are those
// of its semantic conventions where there are any.
type otlpFormat struct{}

type otlpRequest struct {
	ResourceLogs []otlpResourceLogs `json:"resourceLogs"`
}

type otlpResourceLogs struct {
	Resource  otlpResource    `json:"resource"`
	ScopeLogs []otlpScopeLogs `json:"scopeLogs"`
}

type otlpResource struct {
	Attributes []otlpAttribute `json:"attributes"`
}

type otlpScopeLogs struct {
	Scope      otlpScope    `json:"scope"`
	LogRecords []otlpRecord `json:"logRecords"`
}

type otlpScope struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

type otlpRecord struct {
	TimeUnixNano   string          `json:"timeUnixNano"` // 64-bit integers are strings
	SeverityNumber int             `json:"severityNumber"`
	Body           otlpValue       `json:"body"`
	Attributes     []otlpAttribute `json:"attributes"`
}

type otlpAttribute struct {
	Key   string    `json:"key"`
	Value otlpValue `json:"value"`
}

type otlpValue struct {
	StringValue string  `json:"stringValue,omitempty"`
	IntValue    *string `json:"intValue,omitempty"`
}

// The severities of OpenTelemetry's data model.
const (
	otlpInfo  = 9
	otlpError = 17
)

func text(key, value string) otlpAttribute { return otlpAttribute{key, otlpValue{StringValue: value}} }

func integer(key string, n uint64) otlpAttribute {
	return otlpAttribute{key, otlpValue{IntValue: new(strconv.FormatUint(n, 10))}}
}

func (otlpFormat) request(d *Destination, o *Options, lines []gaffer.Output) any {
	type key struct {
		name string
		slot int
	}
	var req otlpRequest
	at := map[key]int{}
	for i := range lines {
		l := &lines[i]
		k := key{l.Name, l.Slot}
		n, known := at[k]
		if !known {
			n = len(req.ResourceLogs)
			at[k] = n
			about := []otlpAttribute{text("service.name", l.Name), text("service.instance.id", processName(l)), text("host.name", o.Host)}
			for _, name := range sortedKeys(d.Labels) {
				about = append(about, text(name, d.Labels[name]))
			}
			req.ResourceLogs = append(req.ResourceLogs, otlpResourceLogs{
				Resource:  otlpResource{about},
				ScopeLogs: []otlpScopeLogs{{Scope: otlpScope{"gaffer", o.Version}}},
			})
		}
		severity := otlpInfo
		if l.Label == "stderr" {
			severity = otlpError
		}
		records := &req.ResourceLogs[n].ScopeLogs[0].LogRecords
		*records = append(*records, otlpRecord{
			TimeUnixNano: strconv.FormatInt(l.Time.UnixNano(), 10), SeverityNumber: severity, Body: otlpValue{StringValue: string(l.Data)},
			Attributes: []otlpAttribute{text("log.iostream", l.Label), integer("gaffer.id", l.ID)},
		})
	}
	return req
}

// refused reads what of a request was not taken.
func (otlpFormat) refused(answer []byte) int {
	var a struct {
		PartialSuccess struct {
			RejectedLogRecords json.RawMessage `json:"rejectedLogRecords"` // a string, or a number
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return 0
	}
	number := string(a.PartialSuccess.RejectedLogRecords)
	if unquoted, err := strconv.Unquote(number); err == nil {
		number = unquoted
	}
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}
