package feed

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// longestExpression is how long a regular expression may be, in bytes.
const longestExpression = 1000

// params reads the parameters of a request, and collects what is wrong with them.
type params struct {
	values url.Values
	faults []error
}

// query reads the query of a request, in which nothing but the known parameters
// may be.
func query(r *http.Request, known ...string) *params {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &params{values: values}
	if err != nil {
		p.faults = append(p.faults, invalidf("query: %v", err))
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(known, name) {
			p.fault(name, "unknown parameter; want some of %s", strings.Join(known, ", "))
		}
	}
	return p
}

// err is all that is wrong.
func (p *params) err() error { return errors.Join(p.faults...) }

func (p *params) fault(name, format string, a ...any) {
	p.wrap(name, invalidf(format, a...))
}

func (p *params) wrap(name string, err error) {
	if err != nil {
		p.faults = append(p.faults, &ParamError{"query", name, err})
	}
}

// one is the value of a parameter that may be given once.
func (p *params) one(name string) (value string, given bool) {
	values := p.values[name]
	if len(values) > 1 {
		p.fault(name, "given %d times", len(values))
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// list is the values of a parameter that is repeated, or has commas.
func (p *params) list(name string) []string {
	var list []string
	for _, value := range p.values[name] {
		for element := range strings.SplitSeq(value, ",") {
			if element == "" {
				p.fault(name, "%q: an element is empty", value)
				continue
			}
			list = append(list, element)
		}
	}
	return list
}

// target is the parameter of that name; everything when it is not given.
func (p *params) target() gaffer.Target {
	value, given := p.one("target")
	if !given {
		return gaffer.All
	}
	p.wrap("target", gaffer.Target(value).Check())
	return gaffer.Target(value)
}

// labels are the streams that are wanted.
func (p *params) labels() []string {
	labels := p.list("stream")
	for _, label := range labels {
		if err := gaffer.CheckName(label); err != nil || strings.Contains(label, ":") {
			p.fault("stream", "%q: no label of a stream", label)
		}
	}
	return labels
}

// tail is how much of before is wanted; -1 is all.
func (p *params) tail(otherwise int) int {
	value, given := p.one("tail")
	if !given {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < -1 {
		p.fault("tail", "%q: want -1 (all), 0 or more", value)
	}
	return n
}

// truth is true, false, or true when only the name is given.
func (p *params) truth(name string, otherwise bool) bool {
	value, given := p.one(name)
	if !given {
		return otherwise
	}
	if value == "" {
		return true
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		p.fault(name, "%q: want true or false", value)
	}
	return b
}

// duration is "1.5s", or a number of seconds.
func (p *params) duration(name string, otherwise time.Duration) time.Duration {
	value, given := p.one(name)
	if !given {
		return otherwise
	}
	var d gaffer.Duration
	p.wrap(name, d.UnmarshalText([]byte(value)))
	return time.Duration(d)
}

// moment is a time as RFC 3339 has it, seconds since 1970, or how long ago it
// was, as "10m".
func (p *params) moment(name string, now time.Time) time.Time {
	value, given := p.one(name)
	if !given {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return t
	}
	if s, err := strconv.ParseFloat(value, 64); err == nil && s >= 0 && s < math.MaxInt64/float64(time.Second) {
		return time.Unix(0, int64(s*float64(time.Second)))
	}
	if d, err := time.ParseDuration(value); err == nil && d >= 0 {
		return now.Add(-d)
	}
	p.fault(name, "%q: want a time as 2026-11-22T10:00:00Z, seconds since 1970, or how long ago, as 10m", value)
	return time.Time{}
}

// expression is a regular expression; empty when it is not given.
func (p *params) expression(name string) string {
	value, _ := p.one(name)
	if len(value) > longestExpression {
		p.fault(name, "longer than %d bytes", longestExpression)
		return ""
	}
	if _, err := regexp.Compile(value); err != nil {
		p.fault(name, "%v", err)
	}
	return value
}
