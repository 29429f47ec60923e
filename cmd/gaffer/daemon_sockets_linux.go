package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/gafferpm/gaffer/api"
	"github.com/gafferpm/gaffer/internal/holder"
)

// keepSockets opens the endpoints that are not, and has the holder keep them.
func (d *daemon) keepSockets(endpoints []api.Endpoint) error {
	if d.link == nil {
		return nil
	}
	d.link.client.DropSockets(holder.SocketPrefix)
	for i := range endpoints {
		e := &endpoints[i]
		if e.Listener == nil {
			l, err := e.Listen()
			if err != nil {
				return err
			}
			e.Listener = l
		}
		if err := d.keepSocket(e); err != nil {
			return fmt.Errorf("endpoint %s: %w", e.Address, err)
		}
	}
	return nil
}

func (d *daemon) keepSocket(e *api.Endpoint) error {
	l, ok := e.Listener.(syscall.Conn)
	if !ok {
		return nil
	}
	if err := d.link.client.KeepSocket(holder.SocketPrefix+keptName(e.Address), l); err != nil {
		return err
	}
	if u, ok := e.Listener.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the next manager goes on with it
		path := strings.TrimPrefix(e.Address, "unix://")
		d.atEnd(func() {
			if !d.left.Load() {
				_ = os.Remove(path)
			}
		})
	}
	return nil
}

// dropSockets has those who connect from now on be refused.
func (d *daemon) dropSockets() {
	if d.link != nil {
		d.link.client.DropSockets(holder.SocketPrefix)
	}
}

// serviceSockets has the holder keep the listening sockets of services.
type serviceSockets struct {
	client *holder.Client
	kept   map[string]*os.File // that were kept for an earlier manager, by their names
}

// servedName is the name of a service's socket. Addresses have colons, and can be longer
// than a name.
func servedName(address string) string {
	sum := sha256.Sum256([]byte(address))
	return holder.ServiceSocketPrefix + hex.EncodeToString(sum[:16])
}

// Kept implements gaffer.SocketStore.
func (s *serviceSockets) Kept(address string) *os.File {
	name := servedName(address)
	f := s.kept[name]
	delete(s.kept, name)
	return f
}

// Keep implements gaffer.SocketStore.
func (s *serviceSockets) Keep(address string, socket *os.File) error {
	return s.client.KeepSocket(servedName(address), socket)
}

// Drop implements gaffer.SocketStore.
func (s *serviceSockets) Drop(address string) { s.client.DropSockets(servedName(address)) }

// Settled implements gaffer.SocketStore.
func (s *serviceSockets) Settled() {
	for name, f := range s.kept {
		s.client.DropSockets(name)
		_ = f.Close()
	}
	clear(s.kept)
}
