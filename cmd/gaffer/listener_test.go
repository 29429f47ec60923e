package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// listener is a program that answers who connects to a socket that it was passed: with
// the socket's name, its own slot and its own number.
func listener() {
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || n == 0 || len(names) != n {
		fmt.Printf("LISTEN_PID=%s LISTEN_FDS=%d LISTEN_FDNAMES=%s, pid %d\n", os.Getenv("LISTEN_PID"), n, names, os.Getpid())
		os.Exit(99)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	for i, name := range names {
		l, err := net.FileListener(os.NewFile(uintptr(3+i), name))
		if err != nil {
			fmt.Println(name, err)
			os.Exit(98)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s by %s.%s %d\n", name, os.Getenv("GAFFER_NAME"), os.Getenv("GAFFER_SLOT"), os.Getpid())
				_ = c.Close()
			}
		}()
	}
	fmt.Println("listening")
	<-stop
}

// ask is a program that connects to an address, as "tcp 127.0.0.1:80", and shows what
// is answered.
func ask() {
	line, err := askAt(os.Args[1], os.Args[2])
	fmt.Print(line)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func askAt(network, address string) (string, error) {
	c, err := net.DialTimeout(network, address, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return bufio.NewReader(c).ReadString('\n')
}
