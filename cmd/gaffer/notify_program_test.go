package main

import (
	"fmt"
	"net"
	"os"
)

// notify is a program of the scripts: it tells, as what it is started by, each of its
// arguments to whoever listens at NOTIFY_SOCKET.
func notify() {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	for _, text := range os.Args[1:] {
		if err == nil {
			_, err = conn.Write([]byte(text))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
