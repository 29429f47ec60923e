package api

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// openAPI is the document as its readers see it: made of its text alone, with
// nothing of what it was made of.
type openAPI struct {
	Paths      map[string]map[string]operationText
	Components struct {
		Schemas   map[string]map[string]any
		Responses map[string]responseText
	}
}

type responseText struct {
	Ref     string `json:"$ref"`
	Content map[string]struct{ Schema map[string]any }
}

type operationText struct {
	OperationID string
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   map[string]any
	}
	RequestBody struct {
		Content map[string]struct{ Schema map[string]any }
	}
	Responses map[string]responseText
}

func readDocument(t testing.TB) *openAPI {
	t.Helper()
	s, err := New(refusing{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := get(t, s.Handler(Caller{}), "/v1/openapi.json")
	var doc openAPI
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 {
		t.Fatalf("%d %v", w.Code, err)
	}
	return &doc
}

// valid tells what of a value is not as a schema says. It knows the words that
// the document uses, and says when there are others.
func (doc *openAPI) valid(schema map[string]any, v any, at string) (wrong []string) {
	bad := func(format string, a ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, a...)) }
	for word, arg := range schema {
		switch word {
		case "description", "examples", "format", "default", "contentEncoding":
			if arg == "date-time" {
				if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(v)); err != nil {
					bad("%v", err)
				}
			}
		case "$ref":
			name, _ := strings.CutPrefix(arg.(string), schemaPrefix)
			if doc.Components.Schemas[name] == nil {
				bad("no schema %s", name)
				continue
			}
			wrong = append(wrong, doc.valid(doc.Components.Schemas[name], v, at)...)
		case "oneOf":
			fits := 0
			for _, sub := range arg.([]any) {
				if len(doc.valid(sub.(map[string]any), v, at)) == 0 {
					fits++
				}
			}
			if fits != 1 {
				bad("%v fits %d of its schemas", v, fits)
			}
		case "type":
			if got := kindOf(v); arg != got && !(arg == "number" && got == "integer") {
				bad("is %s, want %v", got, arg)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				bad("%v is none of %v", v, arg)
			}
		case "minimum":
			if n, ok := v.(float64); ok && n < arg.(float64) {
				bad("%v is less than %v", n, arg)
			}
		case "minLength", "maxLength":
			if s, ok := v.(string); ok && (word == "minLength") == (float64(len(s)) < arg.(float64)) && float64(len(s)) != arg.(float64) {
				bad("%q has not the length %s %v", s, word, arg)
			}
		case "items":
			list, _ := v.([]any)
			for i, item := range list {
				wrong = append(wrong, doc.valid(arg.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "required":
			members, _ := v.(map[string]any)
			for _, name := range arg.([]any) {
				if _, ok := members[name.(string)]; !ok {
					bad("%v is missing", name)
				}
			}
		case "properties", "additionalProperties":
			wrong = append(wrong, doc.validMembers(schema, v, at, word)...)
		default:
			bad("the test knows no %s", word)
		}
	}
	return wrong
}

func (doc *openAPI) validMembers(schema map[string]any, v any, at, word string) (wrong []string) {
	members, _ := v.(map[string]any)
	known, _ := schema["properties"].(map[string]any)
	for name, value := range members {
		sub, ok := known[name].(map[string]any)
		switch extra := schema["additionalProperties"].(type) {
		case bool:
			if !ok && !extra && word == "additionalProperties" {
				wrong = append(wrong, at+"."+name+": is not in the document")
			}
		case map[string]any:
			if !ok && word == "additionalProperties" {
				wrong = append(wrong, doc.valid(extra, value, at+"."+name)...)
			}
		}
		if ok && word == "properties" {
			wrong = append(wrong, doc.valid(sub, value, at+"."+name)...)
		}
	}
	return wrong
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	}
	return "object"
}

func TestTheValidatorOfTheseTestsFindsFaults(t *testing.T) {
	doc := readDocument(t)
	status := doc.Components.Schemas["Status"]
	good := `{"name":"web","group":"","state":"running","active":"active","running":1,"max_processes":1,"restarts":0,"processes":[]}`
	for text, ok := range map[string]bool{
		good: true,
		strings.Replace(good, `"running":1`, `"running":"1"`, 1):                                                    false,
		strings.Replace(good, `"running":1`, `"running":1.5`, 1):                                                    false,
		strings.Replace(good, `"running":1,`, ``, 1):                                                                false,
		strings.Replace(good, `"running":1`, `"running":1,"more":2`, 1):                                             false,
		strings.Replace(good, `[]`, `null`, 1):                                                                      false,
		strings.Replace(good, `[]`, `[{}]`, 1):                                                                      false,
		strings.Replace(good, `[]`, `[{"id":-1,"slot":1,"pid":1,"state":"x","since":"yesterday","restarts":0}]`, 1): false,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if wrong := doc.valid(status, v, "status"); (len(wrong) == 0) != ok {
			t.Errorf("%s: %q", text, wrong)
		}
	}
}

func TestTheDocumentHasEveryRoute(t *testing.T) {
	doc := readDocument(t)
	n := 0
	for _, r := range routes() {
		op, ok := doc.Paths[r.path][strings.ToLower(r.method)]
		if ok == r.hidden || ok && op.OperationID != r.id {
			t.Errorf("%s %s: in the document: %v", r.method, r.path, ok)
		}
		if !ok {
			continue
		}
		n++
		for _, name := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(r.path, -1) {
			if !slices.ContainsFunc(op.Parameters, func(p struct {
				Name, In string
				Required bool
				Schema   map[string]any
			}) bool {
				return p.Name == name[1] && p.In == "path" && p.Required
			}) {
				t.Errorf("%s %s: the document has no parameter %s", r.method, r.path, name[1])
			}
		}
	}
	total := 0
	for _, item := range doc.Paths {
		total += len(item)
	}
	if total != n {
		t.Errorf("the document has %d operations, the table %d", total, n)
	}
}

func TestFieldsOfTemplatesAreDescribed(t *testing.T) {
	doc := readDocument(t)
	for _, name := range []string{"Template", "Flapping", "Backoff"} {
		for field, schema := range doc.Components.Schemas[name]["properties"].(map[string]any) {
			p := schema.(map[string]any)
			if p["description"] == nil && p["$ref"] == nil {
				t.Errorf("%s.%s is not described", name, field)
			}
		}
	}
	for name, fields := range descriptions {
		properties, _ := doc.Components.Schemas[name]["properties"].(map[string]any)
		for field := range fields {
			if properties[field] == nil {
				t.Errorf("%s has no %s to describe", name, field)
			}
		}
	}
}
