// Package peer tells who is at the other end of a unix socket.
package peer

import "errors"

// ErrUnknown says that the system does not tell.
var ErrUnknown = errors.New("peer: the system does not tell who it is")

// Cred is who made a connection.
type Cred struct {
	UID, GID int
	// Groups are the supplementary groups.
	Groups []int
}
