package api

import "github.com/gafferpm/gaffer"

// route is one thing that can be asked for.
type route struct {
	method, path string
	role         Role              // the least that may
	whole        bool              // not for callers that are narrowed to a target
	stream       bool              // it goes on until one of the two ends it
	audit        string            // not empty: it is a change, called so in audit events
	handle       func(*call) error // answers, or returns what is wrong before it has begun to

	hidden bool // not in the document

	// What is said of it in the document.
	id       string // name of the operation
	summary  string
	query    []param
	body     any      // of the type of the body; nil: none
	optional bool     // the body may be left out
	raw      string   // media type of a body that is not JSON
	status   int      // of the answer; 0: 200
	also     []int    // other statuses of the same answer
	answer   any      // of the type of the answer; nil: none
	types    []string // media types of an answer that is not one JSON text
	record   any      // of the type of what comes one after the other; nil: bytes
}

// param is a parameter in a request's query.
type param struct {
	name, doc string
	kind      any // of its type
}

// Parameters that several routes have.
var (
	waitParam   = param{"wait", "how long to wait until it is so, as \"30s\"; without it the answer is at once", gaffer.Duration(0)}
	targetParam = param{"target", "what to tell of; default \"*\"", gaffer.Target("")}
)

// routes is everything that is served. Every check of access is a column of it.
func routes() []route {
	all := serviceRoutes()
	all = append(all, processRoutes()...)
	all = append(all, verbRoutes()...)
	all = append(all, streamRoutes()...)
	all = append(all, sessionRoutes()...)
	all = append(all, sourceRoutes()...)
	all = append(all, accessRoutes()...)
	all = append(all, fileRoutes()...)
	return all
}
