package proc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// notifier tells what its arguments say, one message each; "wait" waits for the end of
// stdin, "fd" sends a pipe along whose other end is then read to its end, "uid:N" goes on
// as that user.
func notifier(args []string) int {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: os.Getenv("NOTIFY_SOCKET"), Net: "unixgram"})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, arg := range args {
		uid, as := strings.CutPrefix(arg, "uid:")
		switch {
		case arg == "wait":
			_, _ = io.Copy(io.Discard, os.Stdin)
		case arg == "fd":
			r, w, err := os.Pipe()
			if err != nil {
				return 1
			}
			raw, err := conn.SyscallConn()
			if err != nil {
				return 1
			}
			rights := unix.UnixRights(int(w.Fd()))
			if e := raw.Write(func(fd uintptr) bool {
				err = unix.Sendmsg(int(fd), []byte("BARRIER=1"), rights, nil, 0)
				return err != unix.EAGAIN
			}); e != nil || err != nil {
				fmt.Println(e, err)
				return 1
			}
			_ = w.Close()
			_, _ = io.Copy(io.Discard, r)
		case as:
			n, err := strconv.Atoi(uid)
			if err == nil {
				err = syscall.Setuid(n)
			}
			if err != nil {
				fmt.Println(err)
				return 1
			}
		default:
			if _, err := conn.Write([]byte(arg)); err != nil {
				fmt.Println(err)
				return 1
			}
		}
	}
	return 0
}

// told is a recorder that is told of messages, too.
type told struct {
	*recorder
	mu       sync.Mutex
	messages []string
	from     []int
	uids     []uint32
}

func (t *told) Notified(m Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.messages = append(t.messages, string(m.Text))
	t.from = append(t.from, m.PID)
	t.uids = append(t.uids, m.UID)
	m.Close()
}

func startNotifier(t *testing.T, h *Host, spec *Spec) *told {
	t.Helper()
	r := &told{recorder: newRecorder()}
	spec.Notify = true
	if err := h.Start(spec, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatAProcessSaysOfItselfIsHeard(t *testing.T) {
	h := newHost(t, Options{})
	spec := program(t, "notifier", "READY=1\nSTATUS=fine", "fd", strings.Repeat("x", 5000), "STOPPING=1")
	r := startNotifier(t, h, spec)
	r.await(t)
	want := []string{"READY=1\nSTATUS=fine", "BARRIER=1", "STOPPING=1"} // what is too long is nothing
	if !slices.Equal(r.messages, want) {
		t.Errorf("heard %q, want %q; it says %q", r.messages, want, r.text(Stdout))
	}
	for i := range r.from {
		if r.from[i] != r.process.PID() || r.uids[i] != uint32(os.Getuid()) {
			t.Errorf("message %d is of process %d of user %d", i, r.from[i], r.uids[i])
		}
	}
}

func TestAMessageOfWhatIsGoneIsHeard(t *testing.T) {
	h := newHost(t, Options{})
	spec := program(t, "notifier", "READY=1")
	spec.Args = append([]string{"/bin/sh", "-c", `"$@"; read x`, "sh", spec.Path}, spec.Args[1:]...)
	spec.Path, spec.Input = "/bin/sh", true
	r := startNotifier(t, h, spec)
	if _, err := r.process.Write(t.Context(), Stdin, []byte("x\n")); err != nil {
		t.Fatal(err)
	}
	r.await(t)
	if !slices.Equal(r.messages, []string{"READY=1"}) || r.from[0] == r.process.PID() {
		t.Errorf("heard %q of %v", r.messages, r.from)
	}
}

func TestTheSenderIsKnownByItsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("another user: needs root")
	}
	h := newHost(t, Options{})
	r := startNotifier(t, h, program(t, "notifier", "uid:65534", "READY=1"))
	r.await(t)
	if !slices.Equal(r.uids, []uint32{65534}) {
		t.Errorf("users %v", r.uids)
	}
}

func TestANameThatIsTakenIsNoHindrance(t *testing.T) {
	h := newHost(t, Options{})
	spec := program(t, "notifier", "READY=1")
	spec.Token = "GAFFER_INSTANCE=" + t.Name() + ".7"
	fd, name, err := listenNotify(notifyName(spec.Token))
	if err != nil || name != "@gaffer/"+t.Name()+".7" {
		t.Fatal(name, err)
	}
	defer unix.Close(fd)
	r := startNotifier(t, h, spec)
	r.await(t)
	if !slices.Equal(r.messages, []string{"READY=1"}) {
		t.Errorf("heard %q", r.messages)
	}
}

func TestTheReadyPipeHasItsNumber(t *testing.T) {
	for _, o := range []Options{{}, {engine: enginePortable}} {
		h := newHost(t, o)
		spec := shell("echo >&7; exec 7>&-; ls /proc/self/fd; read x")
		spec.ReadyFD, spec.Streams, spec.Input = 7, 1, true
		r := start(t, h, spec)
		if _, err := r.process.Write(t.Context(), Stdin, []byte("x\n")); err != nil {
			t.Fatal(err)
		}
		r.await(t)
		if got := r.text(ReadyPipe); got != "\n" {
			t.Errorf("it says %q", got)
		}
		spec = shell("true")
		spec.ReadyFD, spec.Streams = 3, 1
		if err := h.Start(spec, newRecorder()); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("a number that is taken: %v", err)
		}
	}
}
