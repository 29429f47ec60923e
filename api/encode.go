package api

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/gafferpm/gaffer"
)

// What is asked for most often is encoded by hand, as encoding/json would, which
// takes three times as long.

func appendStatuses(b []byte, list []gaffer.Status) []byte {
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendStatus(b, &list[i])
	}
	return append(b, ']')
}

func appendStatus(b []byte, s *gaffer.Status) []byte {
	b = appendText(append(b, `{"name":`...), s.Name)
	b = appendText(append(b, `,"group":`...), s.Group)
	b = appendText(append(b, `,"state":`...), string(s.State))
	b = appendText(append(b, `,"active":`...), s.Active)
	b = strconv.AppendInt(append(b, `,"running":`...), int64(s.Running), 10)
	b = strconv.AppendInt(append(b, `,"max_processes":`...), int64(s.MaxProcesses), 10)
	b = strconv.AppendInt(append(b, `,"restarts":`...), int64(s.Restarts), 10)
	if s.Armed {
		b = append(b, `,"armed":true`...)
	}
	if !s.NextRun.IsZero() {
		b = appendTime(append(b, `,"next_run":`...), s.NextRun)
	}
	if s.Reason != "" {
		b = appendText(append(b, `,"reason":`...), s.Reason)
	}
	if s.Rollout != nil {
		b = append(b, `,"rollout":`...)
		rollout, err := json.Marshal(s.Rollout)
		if err != nil {
			rollout = []byte("null")
		}
		b = append(b, rollout...)
	}
	b = append(b, `,"processes":[`...)
	for i := range s.Processes {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendProcess(b, &s.Processes[i])
	}
	b = append(b, ']')
	for i := range s.Limits {
		if i == 0 {
			b = append(b, `,"limits":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendLimit(b, &s.Limits[i])
	}
	if len(s.Limits) > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendLimit(b []byte, l *gaffer.LimitStatus) []byte {
	b = appendText(append(b, `{"field":`...), l.Field)
	b = appendText(append(b, `,"value":`...), l.Value)
	if l.By != "" {
		b = appendText(append(b, `,"by":`...), l.By)
	}
	if l.Missing != "" {
		b = appendText(append(b, `,"missing":`...), l.Missing)
	}
	return append(b, '}')
}

func appendProcess(b []byte, p *gaffer.Process) []byte {
	b = strconv.AppendUint(append(b, `{"id":`...), p.ID, 10)
	b = strconv.AppendInt(append(b, `,"slot":`...), int64(p.Slot), 10)
	b = strconv.AppendInt(append(b, `,"pid":`...), int64(p.PID), 10)
	b = appendText(append(b, `,"state":`...), string(p.State))
	b = appendTime(append(b, `,"since":`...), p.Since)
	b = strconv.AppendInt(append(b, `,"restarts":`...), int64(p.Restarts), 10)
	if p.Message != "" {
		b = appendText(append(b, `,"message":`...), p.Message)
	}
	if p.Reason != "" {
		b = appendText(append(b, `,"reason":`...), p.Reason)
	}
	if !p.RetryAt.IsZero() {
		b = appendTime(append(b, `,"retry_at":`...), p.RetryAt)
	}
	if p.LastExit != nil {
		b = append(b, `,"last_exit":`...)
		exit, err := json.Marshal(p.LastExit)
		if err != nil {
			exit = []byte("null")
		}
		b = append(b, exit...)
	}
	return append(b, '}')
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendText appends a JSON string. Most need no escapes.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			if err != nil {
				text = []byte(`""`)
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
