//go:build !linux

package peer

import "net"

// Of is who made a connection.
func Of(*net.UnixConn) (Cred, error) { return Cred{}, ErrUnknown }
