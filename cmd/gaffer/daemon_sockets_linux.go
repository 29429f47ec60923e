package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/gafferpm/gaffer/api"
)

// keepSockets opens the endpoints that are not, and has the holder keep them.
func (d *daemon) keepSockets(endpoints []api.Endpoint) error {
	if d.link == nil {
		return nil
	}
	d.link.client.DropSockets()
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
	if err := d.link.client.KeepSocket(keptName(e.Address), l); err != nil {
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
		d.link.client.DropSockets()
	}
}
