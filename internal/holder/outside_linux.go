package holder

import (
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gafferpm/gaffer/internal/proc"
)

// outside is who has started the daemon: a service manager, which wants to be told how
// it is, somebody who waits until it is ready, or nobody.
type outside struct {
	notify  *net.UnixConn
	store   *store // nil: the service manager keeps nothing
	starter *os.File
	sockets []socket // that the service manager, or a manager, has opened
}

// socket is a descriptor that the service manager has passed.
type socket struct {
	fd   int
	name string
}

// open finds out what there is. The sockets of a process that was another program
// before are what that has handed over.
func (o *outside) open(starter int) {
	if starter > 0 {
		syscall.CloseOnExec(starter)
		o.starter = os.NewFile(uintptr(starter), "starter")
	}
	if name := os.Getenv("NOTIFY_SOCKET"); name != "" {
		if c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}); err == nil {
			o.notify = c
			o.store = newStore(c)
		}
	}
}

// passed are the descriptors that the service manager has passed to this process.
func passed() (all []socket) {
	defer func() {
		for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			_ = os.Unsetenv(name) // the numbers may soon be others'
		}
	}()
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	const first = 3
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		s := socket{fd: first + i}
		syscall.CloseOnExec(s.fd)
		if i < len(names) {
			s.name = names[i]
		}
		all = append(all, s)
	}
	return all
}

// environ is the manager's environment: what the service manager says is for this
// program, but for the sockets.
func (o *outside) environ() []string {
	env := without(os.Environ(), "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE")
	if len(o.sockets) > 0 {
		names := make([]string, len(o.sockets))
		for i, s := range o.sockets {
			names[i] = s.name
		}
		env = append(env, "LISTEN_FDS="+strconv.Itoa(len(o.sockets)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	return env
}

// keepSocket keeps a socket of a manager. One that is kept under the name already is
// given up.
func (o *outside) keepSocket(name string, fd int) {
	if strings.HasPrefix(name, ServiceSocketPrefix) {
		o.dropKept(name)
		o.store.put(name, fd)
	}
	o.sockets = append(o.sockets, socket{fd, name})
}

// dropKept gives up sockets of managers.
func (o *outside) dropKept(prefix string) {
	o.sockets = slices.DeleteFunc(o.sockets, func(s socket) bool {
		if !strings.HasPrefix(s.name, prefix) {
			return false
		}
		if strings.HasPrefix(s.name, ServiceSocketPrefix) {
			o.store.remove(s.name)
		}
		_ = unix.Close(s.fd)
		return true
	})
}

func (o *outside) tellService(lines string) {
	if o.notify != nil {
		_, _ = o.notify.Write([]byte(lines)) // who does not listen is not to be told
	}
}

func (o *outside) tellStarter(line string) {
	if o.starter != nil {
		_, _ = o.starter.WriteString(strings.TrimSuffix(line, "\n") + "\n")
	}
}

func (o *outside) closeStarter() {
	if o.starter != nil {
		_ = o.starter.Close()
		o.starter = nil
	}
}

// heeded are the signals that a holder hears. Those that mean nothing to it would end
// it.
var heeded = []os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2,
}

// listen hears signals: those that stop, and the one that has the files applied.
func (h *holder) listen() {
	signals, deaf := make(chan os.Signal, 16), make(chan struct{})
	h.signals, h.deaf = signals, deaf
	signal.Notify(signals, heeded...)
	go func() {
		defer close(deaf)
		for s := range signals {
			h.post(func() { h.signaled(s) })
		}
	}()
}

// deafen hears no signals any more. Until the program that this process becomes hears
// them, they end it: Go unblocks them before that.
func (h *holder) deafen() {
	signal.Stop(h.signals)
	close(h.signals)
}

func (h *holder) signaled(s os.Signal) {
	switch s {
	case syscall.SIGTERM, syscall.SIGINT:
		h.stop(signalName(s))
	case syscall.SIGQUIT: // at once
		h.stop(signalName(s))
		h.stop(signalName(s))
	case syscall.SIGHUP:
		h.askReload()
	}
}

func signalName(s os.Signal) string { return proc.SignalName(s.(syscall.Signal)) }

// beat is when the manager is to be asked whether it is alive if that is to be after most:
// early enough for the service manager's watchdog, if there is one.
func (o *outside) beat(most time.Duration) time.Duration {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid := os.Getenv("WATCHDOG_PID")
	if o.notify == nil || err != nil || usec <= 0 || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return most
	}
	return min(most, max(time.Duration(usec)*time.Microsecond/2, time.Millisecond))
}

// betweenDeaths is how long the deaths of children go unheard after one of them: they
// come in crowds.
const betweenDeaths = 100 * time.Millisecond

// watchOrphans has orphans buried soon after they have ended.
func watchOrphans(bury func()) {
	deaths := make(chan os.Signal, 1)
	for {
		signal.Notify(deaths, unix.SIGCHLD)
		if proc.HaveOrphans() { // as somebody may have died unheard
			bury()
		}
		<-deaths
		signal.Stop(deaths)
		time.Sleep(betweenDeaths)
	}
}
