package gaffer

// Target selects: "*" all, "jobs:*" a group, "web" a template, "web.2" a slot,
// "17" an id; "*" also works as a glob inside a name ("web*").
type Target string

// All selects every template.
const All Target = "*"

// Change is a change of a wanted number: +n, -n or =n.
type Change struct {
	Op byte // '+', '-' or '='
	N  int  // not negative
}
