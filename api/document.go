package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// document is what is said of the API, for programs.
type document struct{ json []byte }

// makeDocument makes the document of the table of routes and of the Go types.
func (s *Server) makeDocument() (*document, error) {
	s.schemas.once.Do(s.schemas.build)
	api := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "gaffer", Version: "v1",
			Description: "Starts programs, keeps them running, and tells how they are.",
			License:     &huma.License{Name: "MIT", Identifier: "MIT"},
		},
		Servers:    []*huma.Server{{URL: "/", Description: "The daemon that serves this document"}},
		Components: &huma.Components{Schemas: s.schemas.registry},
		Tags:       tags(),
		Security:   []map[string][]string{{"key": {}}},
	}
	api.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key": {Type: "http", Scheme: "bearer", Description: "A key as gaffer_ID_SECRET. On a unix socket the caller's user decides instead."},
	}
	api.Components.Responses = map[string]*huma.Response{"Problem": {
		Description: "What is wrong",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: s.schemas.of(reflect.TypeFor[Problem]())}},
	}}
	for _, r := range routes() {
		if !r.hidden {
			api.AddOperation(s.operation(&r))
		}
	}
	text, err := json.Marshal(api)
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	return &document{append(text, '\n')}, nil
}

const problemRef = "#/components/responses/Problem"

func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: "processes", Description: "Templates and their processes"},
		{Name: "streams", Description: "What goes on until one of the two ends it"},
		{Name: "sources", Description: "Files and applications that are applied as a whole"},
		{Name: "access", Description: "Keys, webhooks and forwards"},
		{Name: "service", Description: "The daemon itself"},
	}
}

// tagOf sorts the operations.
func tagOf(r *route) string {
	switch {
	case r.stream:
		return "streams"
	case strings.HasPrefix(r.path, "/v1/processes"), strings.HasPrefix(r.path, "/v1/groups"):
		return "processes"
	case strings.HasPrefix(r.path, "/v1/keys"), strings.HasPrefix(r.path, "/v1/webhooks"), strings.HasPrefix(r.path, "/v1/forwards"):
		return "access"
	case r.path == "/v1/plan", r.path == "/v1/apply", r.path == "/v1/reload", r.path == "/v1/config":
		return "sources"
	}
	return "service"
}

func (s *Server) operation(r *route) *huma.Operation {
	op := &huma.Operation{
		Method: r.method, Path: r.path, OperationID: r.id, Summary: r.summary, Tags: []string{tagOf(r)},
		Description: describe(r), Parameters: s.parameters(r), RequestBody: s.requestBody(r), Responses: s.responses(r),
	}
	op.Extensions = map[string]any{"x-role": r.role.String()}
	if r.role == Nobody {
		op.Security = []map[string][]string{}
	}
	return op
}

func describe(r *route) string {
	switch {
	case r.role == Nobody:
		return r.summary + ". No key is needed."
	case r.whole:
		return fmt.Sprintf("%s. Needs the role %s, of a key that is not narrowed to a target.", r.summary, r.role)
	}
	return fmt.Sprintf("%s. Needs the role %s.", r.summary, r.role)
}

// inPath finds the parameters of a path.
func inPath(path string) (names []string) {
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			names = append(names, strings.TrimRight(name, ".}"))
		}
	}
	return names
}

// pathParams says what the parameters of paths are.
var pathParams = map[string]string{
	"target": "A target: *, a group as jobs:*, a template, a slot as web.2, or an id",
	"group":  "A group's name",
	"label":  "A stream's label",
	"id":     "A key's id",
	"name":   "A name",
}

func (s *Server) parameters(r *route) []*huma.Param {
	var list []*huma.Param
	for _, name := range inPath(r.path) {
		list = append(list, &huma.Param{
			Name: name, In: "path", Required: true, Description: pathParams[name],
			Schema: &huma.Schema{Type: huma.TypeString},
		})
	}
	for _, p := range r.query {
		list = append(list, &huma.Param{Name: p.name, In: "query", Description: p.doc, Schema: s.schemas.of(reflect.TypeOf(p.kind))})
	}
	return list
}

func (s *Server) requestBody(r *route) *huma.RequestBody {
	switch {
	case r.raw != "":
		return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{r.raw: {}}}
	case r.body == nil:
		return nil
	}
	return &huma.RequestBody{
		Required: !r.optional,
		Content:  map[string]*huma.MediaType{"application/json": {Schema: s.schemas.of(reflect.TypeOf(r.body))}},
	}
}

func (s *Server) responses(r *route) map[string]*huma.Response {
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	ok := &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{}}
	if r.answer != nil {
		ok.Content["application/json"] = &huma.MediaType{Schema: s.schemas.of(reflect.TypeOf(r.answer))}
	}
	for _, t := range r.types {
		schema := &huma.Schema{Type: huma.TypeString}
		if r.record != nil && t != "text/plain" {
			schema = s.schemas.of(reflect.TypeOf(r.record)) // of each one
		}
		ok.Content[t] = &huma.MediaType{Schema: schema}
	}
	out := map[string]*huma.Response{
		strconv.Itoa(status): ok,
		"4XX":                {Ref: problemRef},
		"default":            {Ref: problemRef},
	}
	for _, status := range r.also {
		text := http.StatusText(status)
		if status == http.StatusAccepted {
			text = "It is begun, and not waited for"
		}
		out[strconv.Itoa(status)] = &huma.Response{Description: text, Content: ok.Content}
	}
	return out
}
