package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// decode reads the body into v, a pointer to the type that the route says, and
// tells everything that is wrong with it.
func (c *call) decode(v any) error {
	raw, err := c.readBody()
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		if c.route.optional {
			return nil
		}
		return &faults{errMalformed, []Fault{{"body", "is empty; want JSON"}}}
	}
	var anything any
	if err := json.Unmarshal(raw, &anything); err != nil {
		return &faults{errMalformed, []Fault{{"body", err.Error()}}}
	}
	c.name = nameIn(anything)
	found := &faults{sort: gaffer.ErrInvalid}
	c.s.schemas.check(reflect.TypeOf(v).Elem(), anything, found)
	locate(reflect.TypeOf(v).Elem(), raw, "body", found)
	validate(reflect.TypeOf(v).Elem(), anything, "body", found)
	if err := found.err(); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return &faults{gaffer.ErrInvalid, []Fault{{"body", err.Error()}}}
	}
	return nil
}

// nameIn is the name that a body gives to what it is about, whatever else is wrong.
func nameIn(body any) string {
	members, _ := body.(map[string]any)
	name, _ := members["name"].(string)
	if gaffer.CheckName(name) != nil {
		return ""
	}
	return name
}

func (c *call) readBody() ([]byte, error) {
	if c.r.Body == nil || c.r.Body == http.NoBody {
		return nil, nil
	}
	if t := c.r.Header.Get("Content-Type"); t != "" && c.r.ContentLength != 0 {
		media, _, err := mime.ParseMediaType(t)
		if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
			return nil, fmt.Errorf("content type %q: want application/json: %w", t, errMedia)
		}
	}
	if c.r.ContentLength > c.s.limits.Body {
		return nil, c.tooLarge()
	}
	raw, err := io.ReadAll(c.r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, c.tooLarge()
	case err != nil:
		return nil, &faults{errMalformed, []Fault{{"body", "ended too early, or too late"}}}
	}
	return raw, nil
}

func (c *call) tooLarge() error {
	return fmt.Errorf("body: more than %d bytes: %w", c.s.limits.Body, errTooLarge)
}

// locate finds the values that their own types refuse: a text that is no duration,
// a name that is no signal. What has the wrong shape was told already.
func locate(t reflect.Type, raw json.RawMessage, path string, found *faults) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if len(found.list) > maxFaults {
		return
	}
	own := reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
	switch {
	case t.Kind() == reflect.Struct && !own:
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) != nil {
			return
		}
		for name, sub := range members {
			if f, ok := fieldOf(t, name); ok {
				locate(f, sub, path+"."+name, found)
			}
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && !own:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return
		}
		for i, sub := range items {
			locate(t.Elem(), sub, fmt.Sprintf("%s[%d]", path, i), found)
		}
	case found.at(path):
		return // one fault says it
	default:
		if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
			found.add(path, err.Error())
		}
	}
}

// validate tells what is wrong with templates, as far as they could be read.
func validate(t reflect.Type, v any, path string, found *faults) {
	members, ok := v.(map[string]any)
	if !ok {
		return
	}
	if t == reflect.TypeFor[gaffer.Desired]() {
		list, _ := members["templates"].([]any)
		for i, template := range list {
			validate(reflect.TypeFor[gaffer.Template](), template, fmt.Sprintf("%s.templates[%d]", path, i), found)
		}
		return
	}
	checked, ok := reflect.New(t).Interface().(interface{ Validate() error })
	if !ok {
		return
	}
	members = maps.Clone(members)
	maps.DeleteFunc(members, func(name string, _ any) bool { return found.at(path + "." + name) })
	sound, err := json.Marshal(members)
	if err != nil || json.Unmarshal(sound, checked) != nil {
		return
	}
	for _, fault := range fieldFaults(checked.Validate(), nil) {
		location := path + strings.TrimPrefix(fault.Location, "body")
		if len(found.list) <= maxFaults && !found.at(location) {
			found.add(location, fault.Message)
		}
	}
}

// fieldOf is the type of a struct's member by its name in JSON.
func fieldOf(t reflect.Type, name string) (reflect.Type, bool) {
	for _, f := range reflect.VisibleFields(t) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name && tag != "-" {
			return f.Type, true
		}
	}
	return nil, false
}

// maxFaults is how many faults of a request are told.
const maxFaults = 100

// at says whether something is wrong at a place, or within it, already.
func (f *faults) at(path string) bool {
	return slices.ContainsFunc(f.list, func(have Fault) bool {
		rest, ok := strings.CutPrefix(have.Location, path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// check tells what is wrong with the shape of a body.
func (s *schemas) check(t reflect.Type, v any, found *faults) {
	s.once.Do(s.build)
	var res huma.ValidateResult
	schema := s.of(t)
	huma.Validate(s.registry, schema, huma.NewPathBuffer([]byte("body"), len("body")), huma.ModeWriteToServer, v, &res)
	for _, err := range res.Errors {
		var detail *huma.ErrorDetail
		if len(found.list) <= maxFaults && errors.As(err, &detail) {
			found.add(s.reword(schema, detail))
		}
	}
}

// reword puts a fault where the member is that lacks, and says it in our words.
func (s *schemas) reword(schema *huma.Schema, d *huma.ErrorDetail) (location, message string) {
	if rest, ok := strings.CutPrefix(d.Message, "expected required property "); ok {
		name, _, _ := strings.Cut(rest, " ")
		return d.Location + "." + name, "is required"
	}
	if strings.HasPrefix(d.Message, "expected value to match exactly one schema") {
		return d.Location, "is of the wrong type"
	}
	if d.Message != "unexpected property" {
		return d.Location, d.Message
	}
	at := strings.LastIndexByte(d.Location, '.')
	known := s.members(schema, d.Location[:max(at, 0)])
	return d.Location, "is not known" + nearest.Hint(d.Location[at+1:], known)
}

// members are the names of what an object may have that is somewhere in a body.
func (s *schemas) members(schema *huma.Schema, location string) []string {
	for part := range strings.SplitSeq(strings.TrimPrefix(location, "body"), ".") {
		name, index, indexed := strings.Cut(part, "[")
		if name != "" {
			schema = s.resolve(schema).Properties[name]
		}
		if indexed && index != "" {
			schema = s.resolve(schema).Items
		}
	}
	return slices.Sorted(maps.Keys(s.resolve(schema).Properties))
}

// resolve follows a reference. What is not there has no members.
func (s *schemas) resolve(schema *huma.Schema) *huma.Schema {
	if schema != nil && schema.Ref != "" {
		schema = s.registry.SchemaFromRef(schema.Ref)
	}
	if schema == nil {
		return &huma.Schema{}
	}
	return schema
}
