package gaffer

import "context"

// Configurator is a Controller whose templates come from sources: the files of a
// daemon, or the applications that were given to it. A source says what it wants
// as a whole, and applying it does what is missing: it creates, updates and
// removes. Templates that another source defines, and those added one by one,
// are never touched.
type Configurator interface {
	// Plan says what Apply would do, and does nothing.
	Plan(ctx context.Context, d Desired) (Plan, error)
	// Apply does what Plan says and waits until it is done. A step that fails has
	// its Error set, and the steps that do not need it go on; the error is that
	// of the steps, joined. ErrInvalid: a template is wrong; nothing was done.
	// ErrConflict: Expect is not what would be done now; nothing was done.
	Apply(ctx context.Context, d Desired) (Plan, error)
	// Reload reads the daemon's own files again and applies them. A file that is
	// wrong changes nothing.
	Reload(ctx context.Context) (Plan, error)
	// Origins tells where templates come from and what was changed since.
	Origins(ctx context.Context, target Target) ([]Origin, error)
}

// Desired is all that one source defines.
type Desired struct {
	// Source names it: the absolute path of a file, or "app:NAME".
	Source string `json:"source"`
	// Templates are in the order of definition; none gives up all that the source
	// defined before.
	Templates []Template `json:"templates"`
	// Adopt takes over templates of the same names that were added at run time or
	// by another source, which are conflicts otherwise.
	Adopt bool `json:"adopt,omitempty"`
	// Reset drops what was changed at run time: scaled numbers, stops, updates.
	Reset bool `json:"reset,omitempty"`
	// Expect is the Digest of the plan that is to be applied. Unless it is empty,
	// nothing is done when there would be anything else to do by now.
	Expect string `json:"expect,omitempty"`
}

// Plan is what applying a source does, or has done.
type Plan struct {
	Source string `json:"source"`
	Digest string `json:"digest"` // names the steps
	Steps  []Step `json:"steps"`  // removals first, then the rest in the order of definition
}

// Changes says whether the plan does anything.
func (p *Plan) Changes() bool {
	for _, s := range p.Steps {
		if s.Op != OpKeep {
			return true
		}
	}
	return false
}

// Op is what a step does.
type Op string

// What a step does.
const (
	OpCreate   Op = "create"
	OpUpdate   Op = "update"
	OpRemove   Op = "remove"
	OpKeep     Op = "keep"     // nothing; Message may say what of the file is overridden
	OpConflict Op = "conflict" // the name belongs to somebody else; Message says to whom
)

// Step is what applying a source does to one template.
type Step struct {
	Op      Op            `json:"op"`
	Name    string        `json:"name"`
	Restart bool          `json:"restart,omitempty"` // running processes are replaced
	Fields  []FieldChange `json:"fields,omitempty"`
	Message string        `json:"message,omitempty"`
	Error   string        `json:"error,omitempty"` // why it was not done
}

// FieldChange is a field of a template that changes. The values are as in JSON;
// one that is not there is not set.
type FieldChange struct {
	Field   string `json:"field"` // dotted below tables: "flapping.window"
	Old     string `json:"old,omitempty"`
	New     string `json:"new,omitempty"`
	Restart bool   `json:"restart,omitempty"` // running processes depend on it
}

// Origin is where a template comes from, and what of it was changed since.
type Origin struct {
	Name string `json:"name"`
	// Source is that of Desired, or "run time" for one that was added by itself.
	Source string `json:"source"`
	// Template is as it is in force.
	Template Template `json:"template"`
	// Overrides are what was changed at run time and beats the source.
	Overrides []Override `json:"overrides,omitempty"`
}

// Override is a field that was changed at run time. It holds until the source's
// value is another than the one that it was made on.
type Override struct {
	Field string `json:"field"` // of the template; "start" and "numprocesses" for what is wanted
	Value string `json:"value"` // as in JSON
	Base  string `json:"base"`  // what the source says
}
