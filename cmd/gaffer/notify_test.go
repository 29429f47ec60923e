package main

import (
	"net"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// serviceListener is what systemd is to a daemon: it hears how that is.
type serviceListener struct{ conn *net.UnixConn }

// told is the command of scripts that is systemd:
//
//	told -listen SOCKET   begin to listen there
//	told TEXT…            wait for messages that contain the texts, in that order
func told(ts *testscript.TestScript, deadline time.Time, neg bool, args []string) {
	l := ts.Value(serviceListener{}).(*serviceListener)
	if neg || len(args) == 0 {
		ts.Fatalf("want: told TEXT...")
	}
	if args[0] == "-listen" {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: ts.MkAbs(args[1]), Net: "unixgram"})
		ts.Check(err)
		ts.Defer(func() { _ = conn.Close() })
		l.conn = conn
		return
	}
	ts.Check(l.conn.SetReadDeadline(deadline.Add(-10 * time.Second)))
	var heard []string
	buf := make([]byte, 4<<10)
	for _, text := range args {
		for message := ""; !strings.Contains(message, text); heard = append(heard, message) {
			n, err := l.conn.Read(buf)
			if err != nil {
				ts.Fatalf("no message with %q; heard %q: %v", text, heard, err)
			}
			message = string(buf[:n])
		}
	}
}
