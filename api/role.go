package api

import (
	"fmt"

	"github.com/gafferpm/gaffer"
)

// Role is what a caller may do. A greater one may do all that a smaller may.
type Role int

// The roles.
const (
	// Nobody may see that something is served, and no more.
	Nobody Role = iota
	// Viewer may look at everything but the values of env.
	Viewer
	// Operator may also start, stop, restart, scale, signal and write to streams.
	Operator
	// Admin may do everything: also what runs a command of the caller's choice.
	Admin
)

// roleNames are the roles as they are written.
var roleNames = [...]string{"nobody", "viewer", "operator", "admin"}

func (r Role) String() string {
	if r < 0 || int(r) >= len(roleNames) {
		return fmt.Sprintf("role %d", int(r))
	}
	return roleNames[r]
}

// ParseRole reads "viewer", "operator" or "admin".
func ParseRole(s string) (Role, error) {
	for r := Viewer; r <= Admin; r++ {
		if s == r.String() {
			return r, nil
		}
	}
	return Nobody, fmt.Errorf("role %q: want viewer, operator or admin: %w", s, gaffer.ErrInvalid)
}

// MarshalText writes the role's name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what ParseRole does.
func (r *Role) UnmarshalText(b []byte) (err error) { *r, err = ParseRole(string(b)); return err }

// Caller is somebody who asks, and what that may do.
type Caller struct {
	// By names the caller in audit events: "uid 1000 (alice)".
	By string
	// Role is what the caller may do.
	Role Role
	// Target narrows the caller to the templates that it selects. Empty: all.
	Target gaffer.Target
}

// whole says that the caller may touch every template.
func (c *Caller) whole() bool { return c.Target == "" || c.Target == gaffer.All }
