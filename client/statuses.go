package client

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gafferpm/gaffer"
)

// decodeStatuses reads a list of statuses. Whoever lists a thousand templates
// waits for little else than this, so that what daemons write is read by hand,
// in a fifth of the time that encoding/json takes. Everything else is left to it.
func decodeStatuses(body []byte) ([]gaffer.Status, error) {
	s := scanner{bytes: body, text: string(body)}
	list := s.statuses()
	if s.space(); !s.strange && s.at == len(body) {
		return list, nil
	}
	list = nil
	err := json.Unmarshal(body, &list)
	return list, err
}

// decodeUses reads what processes use, as decodeStatuses does.
func decodeUses(body []byte) ([]gaffer.Use, error) {
	s := scanner{bytes: body, text: string(body)}
	list := make([]gaffer.Use, 0, 1+len(body)/64)
	s.list(func() {
		list = append(list, gaffer.Use{})
		s.use(&list[len(list)-1])
	})
	if s.space(); !s.strange && s.at == len(body) {
		return list, nil
	}
	list = nil
	err := json.Unmarshal(body, &list)
	return list, err
}

func (s *scanner) use(to *gaffer.Use) {
	s.object(func(field string) {
		switch field {
		case "id":
			to.ID = s.positive()
		case "pid":
			to.PID = int(s.number())
		case "cpu":
			to.CPU = s.float()
		case "rss":
			to.RSS = s.positive()
		default:
			s.strange = true
		}
	})
}

// scanner reads JSON as long as it is what was expected. Where it is not, it is
// strange, and what was read is worth nothing.
type scanner struct {
	bytes   []byte
	text    string // the same: values are parts of it
	at      int
	strange bool
	slots   []gaffer.Process // of all statuses
}

// leastStatus is about the shortest that a status with a process is, in bytes.
const leastStatus = 192

func (s *scanner) statuses() []gaffer.Status {
	list := make([]gaffer.Status, 0, 1+len(s.bytes)/leastStatus)
	s.slots = make([]gaffer.Process, 0, 1+len(s.bytes)/leastStatus)
	s.list(func() {
		list = append(list, gaffer.Status{})
		s.status(&list[len(list)-1])
	})
	return list
}

func (s *scanner) status(to *gaffer.Status) {
	s.object(func(field string) {
		switch field {
		case "name":
			to.Name = s.string()
		case "group":
			to.Group = s.string()
		case "state":
			to.State = gaffer.State(s.string())
		case "active":
			to.Active = s.string()
		case "running":
			to.Running = int(s.number())
		case "max_processes":
			to.MaxProcesses = int(s.number())
		case "restarts":
			to.Restarts = int(s.number())
		case "reason":
			to.Reason = s.string()
		case "next_run":
			to.NextRun = s.time()
		case "armed":
			to.Armed = s.boolean()
		case "processes":
			to.Processes = s.processes()
		case "limits":
			to.Limits = s.limits()
		default:
			s.strange = true
		}
	})
}

func (s *scanner) limits() []gaffer.LimitStatus {
	list := []gaffer.LimitStatus{}
	s.list(func() {
		list = append(list, gaffer.LimitStatus{})
		to := &list[len(list)-1]
		s.object(func(field string) {
			switch field {
			case "field":
				to.Field = s.string()
			case "value":
				to.Value = s.string()
			case "by":
				to.By = s.string()
			case "missing":
				to.Missing = s.string()
			default:
				s.strange = true
			}
		})
	})
	return list
}

func (s *scanner) processes() []gaffer.Process {
	first := len(s.slots)
	s.list(func() {
		s.slots = append(s.slots, gaffer.Process{})
		s.process(&s.slots[len(s.slots)-1])
	})
	return s.slots[first:len(s.slots):len(s.slots)]
}

func (s *scanner) process(to *gaffer.Process) {
	s.object(func(field string) {
		switch field {
		case "id":
			to.ID = s.positive()
		case "slot":
			to.Slot = int(s.number())
		case "pid":
			to.PID = int(s.number())
		case "state":
			to.State = gaffer.State(s.string())
		case "since":
			to.Since = s.time()
		case "restarts":
			to.Restarts = int(s.number())
		case "reason":
			to.Reason = s.string()
		case "message":
			to.Message = s.string()
		case "retry_at":
			to.RetryAt = s.time()
		case "last_exit":
			to.LastExit = s.exit()
		default:
			s.strange = true
		}
	})
}

func (s *scanner) exit() *gaffer.Exit {
	to := new(gaffer.Exit)
	s.object(func(field string) {
		switch field {
		case "status":
			to.Status = int(s.number())
		case "signal":
			s.strange = to.Signal.UnmarshalText([]byte(s.string())) != nil || s.strange
		case "time":
			to.Time = s.time()
		case "reason":
			to.Reason = s.string()
		default:
			s.strange = true
		}
	})
	return to
}

// list reads a list, and has each element read.
func (s *scanner) list(element func()) {
	s.expect('[')
	if s.next(']') {
		return
	}
	for !s.strange {
		element()
		if s.next(']') {
			return
		}
		s.expect(',')
	}
}

// object reads an object, and has the value of each field read. Of a field that
// is there twice, encoding/json knows what it means.
func (s *scanner) object(value func(field string)) {
	const most = 16 // more fields than there are
	var seen [most]string
	s.expect('{')
	if s.next('}') {
		return
	}
	for n := 0; !s.strange && n < most; n++ {
		field := s.string()
		for _, before := range seen[:n] {
			s.strange = s.strange || before == field
		}
		seen[n] = field
		s.expect(':')
		value(field)
		if s.next('}') {
			return
		}
		s.expect(',')
	}
	s.strange = true
}

// space passes over what may be between values.
func (s *scanner) space() {
	for s.at < len(s.bytes) {
		switch s.bytes[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// next passes over a character, if it is the next one.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.at < len(s.bytes) && s.bytes[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) expect(c byte) {
	if !s.next(c) {
		s.strange = true
	}
}

// string reads a string without escapes.
func (s *scanner) string() string {
	s.expect('"')
	begin, ascii := s.at, true
	for ; s.at < len(s.bytes); s.at++ {
		switch c := s.bytes[s.at]; {
		case c == '"':
			text := s.text[begin:s.at]
			s.at++
			s.strange = s.strange || !ascii && !utf8.ValidString(text)
			return text
		case c == '\\' || c < ' ':
			s.strange = true
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	s.strange = true
	return ""
}

// number reads a whole number that is far from the largest one.
func (s *scanner) number() int64 {
	const mostDigits = 18
	s.space()
	negative := s.at < len(s.bytes) && s.bytes[s.at] == '-'
	if negative {
		s.at++
	}
	begin, n := s.at, int64(0)
	for s.at < len(s.bytes) && s.bytes[s.at] >= '0' && s.bytes[s.at] <= '9' && s.at-begin <= mostDigits {
		n = 10*n + int64(s.bytes[s.at]-'0')
		s.at++
	}
	digits := s.at - begin
	if digits == 0 || digits > mostDigits || digits > 1 && s.bytes[begin] == '0' {
		s.strange = true
	}
	if negative {
		return -n
	}
	return n
}

func (s *scanner) boolean() bool {
	s.space()
	for _, word := range []string{"true", "false"} {
		if len(s.bytes)-s.at >= len(word) && string(s.bytes[s.at:s.at+len(word)]) == word {
			s.at += len(word)
			return word == "true"
		}
	}
	s.strange = true
	return false
}

func (s *scanner) positive() uint64 {
	n := s.number()
	s.strange = s.strange || n < 0
	return uint64(n)
}

// float reads a number, which may have a fraction and an exponent.
func (s *scanner) float() float64 {
	s.space()
	begin := s.at
	for s.at < len(s.bytes) && strings.IndexByte("+-.0123456789Ee", s.bytes[s.at]) >= 0 {
		s.at++
	}
	text := s.text[begin:s.at]
	f, err := strconv.ParseFloat(text, 64)
	// What is no number in JSON may be one in Go.
	s.strange = s.strange || err != nil || !json.Valid([]byte(text))
	return f
}

func (s *scanner) time() time.Time {
	text := s.string()
	var t time.Time
	if s.strange || t.UnmarshalText(s.bytes[s.at-1-len(text):s.at-1]) != nil {
		s.strange = true
	}
	return t
}
