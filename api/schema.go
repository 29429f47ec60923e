package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gafferpm/gaffer"
)

// schemas describe the types that go over the wire. They are made when they are
// asked for first.
type schemas struct {
	once     sync.Once
	registry huma.Registry // guarded by once, and not changed after it

	mu sync.Mutex // guards calls of the registry that may add to it
}

const schemaPrefix = "#/components/schemas/"

// namelessTemplate is a template whose name may be left out, as the path says it.
type namelessTemplate gaffer.Template

// UnmarshalJSON reads a template.
func (t *namelessTemplate) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, (*gaffer.Template)(t))
}

// Validate tells what is wrong with the template, whatever its name.
func (t *namelessTemplate) Validate() error {
	named := gaffer.Template(*t)
	if named.Name == "" {
		named.Name = "nameless"
	}
	return named.Validate()
}

func (s *schemas) build() {
	s.registry = huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)
	for t, alias := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[gaffer.Duration](): reflect.TypeFor[durationText](),
		reflect.TypeFor[gaffer.Size]():     reflect.TypeFor[sizeText](),
		reflect.TypeFor[gaffer.Signal]():   reflect.TypeFor[signalText](),
		reflect.TypeFor[gaffer.Mode]():     reflect.TypeFor[modeText](),
		reflect.TypeFor[gaffer.Account]():  reflect.TypeFor[accountText](),
		reflect.TypeFor[gaffer.Rlimit]():   reflect.TypeFor[rlimitText](),
		reflect.TypeFor[gaffer.Args]():     reflect.TypeFor[argsList](),
		reflect.TypeFor[gaffer.Command]():  reflect.TypeFor[commandText](),
		reflect.TypeFor[gaffer.Output]():   reflect.TypeFor[Output](),
		reflect.TypeFor[Role]():            reflect.TypeFor[roleText](),
		reflect.TypeFor[Count]():           reflect.TypeFor[countText](),
	} {
		s.registry.RegisterTypeAlias(t, alias)
	}
	for _, r := range routes() {
		for _, v := range []any{r.body, r.answer, r.record} {
			if v != nil {
				s.registry.Schema(reflect.TypeOf(v), true, "")
			}
		}
	}
	s.registry.Schema(reflect.TypeFor[Problem](), true, "")
	for _, schema := range s.registry.Map() {
		neverNull(schema)
	}
	for name, fields := range descriptions {
		for field, text := range fields {
			if p := s.registry.Map()[name].Properties[field]; p.Ref == "" {
				p.Description = text
			}
		}
	}
	nameless := *s.registry.Map()["Template"]
	nameless.Required = slices.DeleteFunc(slices.Clone(nameless.Required), func(f string) bool { return f == "name" })
	nameless.PrecomputeMessages()
	*s.registry.Map()["NamelessTemplate"] = nameless
}

// of is the schema of a type.
func (s *schemas) of(t reflect.Type) *huma.Schema {
	s.mu.Lock()
	defer s.mu.Unlock()
	schema := s.registry.Schema(t, true, "")
	neverNull(schema)
	return schema
}

// neverNull says of a schema that lists are lists: what has none says [].
func neverNull(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	neverNull(s.Items)
	for _, p := range s.Properties {
		neverNull(p)
	}
	for _, list := range [][]*huma.Schema{s.OneOf, s.AnyOf} {
		for _, p := range list {
			neverNull(p)
		}
	}
}

// Types that stand in the document for those of the library, whose JSON is not
// what their Go type lets expect.
type (
	durationText string
	sizeText     string
	signalText   string
	accountText  string
	rlimitText   string
	modeText     string
	argsList     []string
	commandText  string
	roleText     string
	countText    string
)

// Output is a line, or a piece of raw output, as it goes over the wire.
type Output struct {
	Name    string    `json:"name"`
	ID      uint64    `json:"id"`
	Slot    int       `json:"slot"`
	Label   string    `json:"label"`
	Time    time.Time `json:"time"`
	Data    string    `json:"data,omitempty" doc:"The text, if it is UTF-8"`
	Base64  []byte    `json:"base64,omitempty" doc:"The bytes, if they are no UTF-8"`
	Partial bool      `json:"partial,omitempty"`
	Cursor  string    `json:"cursor,omitempty" doc:"Where to go on after it, by the parameter after"`
}

func textOr(kind, description string, examples ...any) *huma.Schema {
	return &huma.Schema{
		Description: description, Examples: examples,
		OneOf: []*huma.Schema{{Type: huma.TypeString}, {Type: kind}},
	}
}

func (durationText) Schema(huma.Registry) *huma.Schema {
	return textOr(huma.TypeNumber, "A duration as \"1.5s\", or a number of seconds", "1.5s", 30)
}

func (sizeText) Schema(huma.Registry) *huma.Schema {
	return textOr(huma.TypeInteger, "A size as \"10MiB\", or a number of bytes", "10MiB", 1048576)
}

func (signalText) Schema(huma.Registry) *huma.Schema {
	return textOr(huma.TypeInteger, "A signal by name, with or without SIG, or by number", "SIGTERM", "HUP", 15)
}

func (accountText) Schema(huma.Registry) *huma.Schema {
	return textOr(huma.TypeInteger, "A user or group by name or number", "www-data", 33)
}

func (rlimitText) Schema(huma.Registry) *huma.Schema {
	return textOr(huma.TypeInteger, "A number, a size or \"unlimited\"; a soft and a hard one as \"1024:65536\"", "unlimited", "8MiB", "1024:65536", 65536)
}

func (modeText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "The permissions of a file, in octal", Examples: []any{"0660"}}
}

func (countText) Schema(huma.Registry) *huma.Schema {
	return textOr(huma.TypeInteger, "A change of the wanted number, or the number itself", "+2", "-1", "=3", 3)
}

func (argsList) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "Arguments: a list, or one text that is split into words as a shell does",
		OneOf: []*huma.Schema{
			{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}},
			{Type: huma.TypeString},
		},
	}
}

func (commandText) Schema(r huma.Registry) *huma.Schema {
	table := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"cmd"},
		Properties: map[string]*huma.Schema{
			"cmd":     {Type: huma.TypeString, Description: "The program with its arguments; with shell the script"},
			"shell":   {Type: huma.TypeBoolean, Description: "Run sh -c with cmd as the whole script; default as the template does"},
			"timeout": durationText("").Schema(r),
		},
	}
	table.PrecomputeMessages()
	return &huma.Schema{
		Description: "A command, or a table with how long it may take; default 30s", Examples: []any{"./migrate --check"},
		OneOf: []*huma.Schema{{Type: huma.TypeString}, table},
	}
}

func (roleText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: []any{"viewer", "operator", "admin"}}
}
