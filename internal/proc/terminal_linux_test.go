package proc

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// onTerminal reports what it finds of a terminal, and each new size of its window, until
// it is sent a line.
func onTerminal([]string) int {
	sizes := make(chan os.Signal, 10)
	signal.Notify(sizes, syscall.SIGWINCH)
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		fmt.Println("no controlling terminal:", err)
		return 1
	}
	for fd := range 3 {
		if _, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err != nil {
			fmt.Printf("descriptor %d is no terminal: %v\n", fd, err)
			return 1
		}
	}
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	if err != nil || foreground != os.Getpid() {
		fmt.Printf("foreground %d, %v\n", foreground, err)
		return 1
	}
	size, _ := Window(os.Stdin)
	fmt.Printf("window %dx%d\n", size.Cols, size.Rows)
	fmt.Fprintln(os.Stderr, "this is stderr")
	line := make(chan struct{})
	go func() {
		var text string
		_, _ = fmt.Scanln(&text)
		fmt.Println("read", text)
		close(line)
	}()
	for {
		select {
		case <-sizes:
			size, _ := Window(os.Stdin)
			fmt.Printf("now %dx%d\n", size.Cols, size.Rows)
		case <-line:
			return 7
		}
	}
}

func TestATerminal(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		spec := program(t, "onterminal")
		spec.Outputs, spec.Terminal = 0, true
		r := start(t, h, spec)
		r.awaitText(t, Stdout, "this is stderr\r\n")
		if err := r.process.Resize(WindowSize{Cols: 132, Rows: 50}); err != nil {
			t.Fatal(err)
		}
		r.awaitText(t, Stdout, "now 132x50")
		if _, err := r.process.Write(t.Context(), Stdin, []byte("hello\n")); err != nil {
			t.Fatal(err)
		}
		if e := r.await(t); e.Status != 7 {
			t.Errorf("exit %+v", e)
		}
		want := "window 80x24\r\nthis is stderr\r\nnow 132x50\r\nhello\r\nread hello\r\n"
		if got := r.text(Stdout); got != want {
			t.Errorf("it wrote %q, want %q", got, want)
		}
		if err := r.process.Resize(DefaultWindow); !errors.Is(err, ErrClosed) {
			t.Errorf("resize after the end: %v", err)
		}
		if _, err := r.process.Write(t.Context(), Stdin, []byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("write after the end: %v", err)
		}
	})
}

func TestATerminalGivesAllThatWasWritten(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		for range 10 {
			spec := shell("stty raw; i=0; while [ $i -lt 2000 ]; do echo 0123456789abcdef0123456789abcdef; i=$((i+1)); done; printf end")
			spec.Terminal = true
			r := start(t, h, spec)
			r.await(t)
			if want := strings.Repeat("0123456789abcdef0123456789abcdef\n", 2000) + "end"; r.text(Stdout) != want {
				t.Fatalf("%d bytes, want %d; the last are %q", len(r.text(Stdout)), len(want), r.text(Stdout)[max(0, len(r.text(Stdout))-50):])
			}
		}
	})
}

func TestInterruptIsTypedOnATerminal(t *testing.T) {
	h := newHost(t, Options{})
	spec := shell("echo ready; exec sleep 1000")
	spec.Terminal = true
	r := start(t, h, spec)
	r.awaitText(t, Stdout, "ready")
	if _, err := r.process.Write(t.Context(), Stdin, []byte{3}); err != nil {
		t.Fatal(err)
	}
	if e := r.await(t); e.Signal != syscall.SIGINT {
		t.Errorf("exit %+v", e)
	}
}

func TestATerminalOfAnotherUserIsHis(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	h := newHost(t, Options{})
	spec := shell("stat -c %u $(tty)")
	spec.Terminal, spec.Cred = true, &Cred{UID: 65534, GID: 65534}
	r := start(t, h, spec)
	r.await(t)
	if got := r.text(Stdout); got != "65534\r\n" {
		t.Errorf("its terminal belongs to %q", got)
	}
}

// What is left behind can go on writing: the process has ended all the same.
func TestWhoHoldsATerminalOpenHoldsUpNothing(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		spec := shell("trap '' HUP; (trap '' HUP TERM; while :; do echo more; done) & echo ready; exit 3")
		spec.Terminal = true
		r := start(t, h, spec)
		if e := r.await(t); e.Status != 3 {
			t.Errorf("exit %+v", e)
		}
	})
}

func TestNoTerminalIsNotResized(t *testing.T) {
	h := newHost(t, Options{})
	spec := shell("sleep 100")
	spec.Input = true
	r := start(t, h, spec)
	if err := r.process.Resize(DefaultWindow); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("a pipe: %v", err)
	}
	spec = shell("sleep 100")
	r = start(t, h, spec)
	if err := r.process.Resize(DefaultWindow); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("nothing: %v", err)
	}
}

func TestStdioOfSomebodyElse(t *testing.T) {
	forEngines(t, func(t *testing.T, h *Host) {
		master, slave, err := OpenTerminal(WindowSize{Cols: 33, Rows: 44}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer master.Close()
		spec := shell("stty size; tty -s && echo yes; exec sleep 1000")
		spec.Outputs, spec.Terminal, spec.Stdio = 0, true, &[3]*os.File{slave, slave, slave}
		r := start(t, h, spec)
		slave.Close()
		got := ""
		buf := make([]byte, 100)
		for !strings.HasSuffix(got, "yes\r\n") {
			n, err := master.Read(buf)
			if err != nil {
				t.Fatal(got, err)
			}
			got += string(buf[:n])
		}
		if got != "44 33\r\nyes\r\n" {
			t.Errorf("it wrote %q", got)
		}
		r.process.Kill()
		r.await(t)
		if _, err := master.Read(buf); !errors.Is(err, syscall.EIO) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestARawTerminalIsRestored(t *testing.T) {
	master, slave, err := OpenTerminal(DefaultWindow, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	get := func() (echo bool) {
		_ = control(slave, func(fd int) error {
			term, err := unix.IoctlGetTermios(fd, getTermios)
			echo = err == nil && term.Lflag&unix.ECHO != 0
			return err
		})
		return echo
	}
	raw, err := MakeRaw(slave)
	if err != nil || get() {
		t.Fatalf("%v, it echoes: %v", err, get())
	}
	for range 2 {
		if err := raw.Restore(); err != nil || !get() {
			t.Errorf("%v, it echoes: %v", err, get())
		}
		if err := raw.Again(); err != nil || get() {
			t.Errorf("%v, it echoes: %v", err, get())
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := MakeRaw(r); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("a pipe: %v", err)
	}
}
