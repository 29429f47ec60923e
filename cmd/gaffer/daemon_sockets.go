package main

import (
	"encoding/hex"
	"fmt"
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

// inherited are the sockets that the service manager, or the holder, has open for this
// program: those of the API by their addresses, and others. They are taken out of the
// environment.
func inherited() (kept map[string]net.Listener, others []net.Listener, err error) {
	named, err := activation.ListenersWithNames()
	if err != nil {
		return nil, nil, fmt.Errorf("sockets of the service manager: %w", err)
	}
	kept = map[string]net.Listener{}
	for name, listeners := range named {
		digits, ours := strings.CutPrefix(name, holder.SocketPrefix)
		address, err := hex.DecodeString(digits)
		if !ours || err != nil {
			others = append(others, listeners...)
			continue
		}
		kept[string(address)] = listeners[0]
	}
	return kept, others, nil
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
