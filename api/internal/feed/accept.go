package feed

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// accepted chooses the format that a request's Accept header likes best; the
// first is what is given to those who have no preference.
func accepted(r *http.Request, formats ...framing) (framing, error) {
	fields := r.Header.Values("Accept")
	if len(fields) == 0 {
		return formats[0], nil
	}
	ranges := mediaRanges(strings.Join(fields, ","))
	if len(ranges) == 0 {
		return formats[0], nil
	}
	var best framing
	var most float64
	for _, f := range formats {
		if q := quality(ranges, mediaType(f)); q > most {
			best, most = f, q
		}
	}
	if best == nil {
		names := make([]string, len(formats))
		for i, f := range formats {
			names[i] = mediaType(f)
		}
		return nil, fmt.Errorf("header Accept: want %s: %w", strings.Join(names, " or "), ErrNotAcceptable)
	}
	return best, nil
}

func mediaType(f framing) string {
	name, _, _ := strings.Cut(f.contentType(), ";")
	return name
}

// mediaRange is one element of an Accept header: "text/*;q=0.5".
type mediaRange struct {
	kind, sub string
	q         float64
}

// mediaRanges reads an Accept header. What is no media range is left out, and so
// are parameters other than q.
func mediaRanges(header string) []mediaRange {
	var list []mediaRange
	for element := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(element, ";")
		kind, sub, ok := strings.Cut(strings.ToLower(strings.TrimSpace(name)), "/")
		if !ok || kind == "" || sub == "" || kind == "*" && sub != "*" {
			continue
		}
		list = append(list, mediaRange{kind, sub, weight(params)})
	}
	return list
}

// weight is the q of a media range's parameters: 1 when there is none, 0 when it
// makes no sense.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}

// quality is how much a media type is wanted: what the most exact range says
// that matches it.
func quality(ranges []mediaRange, name string) float64 {
	kind, sub, _ := strings.Cut(name, "/")
	q, exactness := 0.0, 0
	for _, r := range ranges {
		rank := 0
		switch {
		case r.kind == kind && r.sub == sub:
			rank = 3
		case r.kind == kind && r.sub == "*":
			rank = 2
		case r.kind == "*":
			rank = 1
		}
		if rank > exactness || rank == exactness && rank > 0 && r.q > q {
			q, exactness = r.q, rank
		}
	}
	return q
}
