package main

import (
	"encoding/hex"
	"net"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/gafferpm/gaffer/api"
	"github.com/gafferpm/gaffer/internal/holder"
)

// keptName is the name of a socket that the holder keeps while one manager follows
// another: who connects meanwhile waits instead of being refused. It is the address as it
// was configured, as hexadecimal digits, for a name can't have colons.
func keptName(address string) string { return hex.EncodeToString([]byte(address)) }

// takePassed takes the sockets that the service manager, or the holder, has open for this
// program, out of the environment. Those of services stay as they are, for a program that
// has them, too, may be waiting at them.
func (d *daemon) takePassed() {
	for _, f := range activation.Files(true) {
		if strings.HasPrefix(f.Name(), holder.ServiceSocketPrefix) {
			if d.served == nil {
				d.served = map[string]*os.File{}
			}
			d.served[f.Name()] = f
			continue
		}
		d.passed = append(d.passed, f)
	}
}

// inherited are the sockets of the API that were passed: those that were kept by their
// addresses, and others.
func (d *daemon) inherited() (kept map[string]net.Listener, others []net.Listener) {
	kept = map[string]net.Listener{}
	for _, f := range d.passed {
		l, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			d.log.Warn("a socket that was passed is not one that the API can use", "name", f.Name(), "reason", err)
			continue
		}
		digits, ours := strings.CutPrefix(f.Name(), holder.SocketPrefix)
		address, err := hex.DecodeString(digits)
		if !ours || err != nil {
			others = append(others, l)
			continue
		}
		kept[string(address)] = l
	}
	return kept, others
}

// useKept gives endpoints the sockets that were kept for them. Those that are nobody's
// any more are closed.
func useKept(endpoints []api.Endpoint, kept map[string]net.Listener) {
	for i := range endpoints {
		e := &endpoints[i]
		l := kept[e.Address]
		if path, unix := strings.CutPrefix(e.Address, "unix://"); l != nil && unix {
			if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSocket {
				continue // somebody has removed the file
			}
		}
		if l != nil && e.Listener == nil {
			e.Listener = l
			delete(kept, e.Address)
		}
	}
	for _, l := range kept {
		_ = l.Close()
	}
}
