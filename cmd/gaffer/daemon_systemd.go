package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/gafferpm/gaffer"
)

// serviceManager is who started the daemon, if it wants to be told how it is:
// systemd with Type=notify, or anything that does as it does. What it has put into
// the environment is taken out: services are none of its business.
type serviceManager struct {
	socket   *net.UnixConn      // nil: nobody wants to be told
	say      func(lines string) // through somebody else; nil: nobody
	watchdog time.Duration      // how often it wants to hear that all is well; 0: never
	log      *slog.Logger
}

func newServiceManager(log *slog.Logger) *serviceManager {
	s := &serviceManager{log: log}
	name := os.Getenv("NOTIFY_SOCKET")
	_ = os.Unsetenv("NOTIFY_SOCKET")
	watchdog, err := sd.SdWatchdogEnabled(true)
	if err != nil {
		log.Warn("the service manager's watchdog is not answered", "reason", err)
	}
	if name == "" {
		return s
	}
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		log.Warn("the service manager can't be told that gaffer is ready", "reason", err)
		return s
	}
	s.socket, s.watchdog = socket, watchdog
	return s
}

// tell sends lines such as READY=1.
func (s *serviceManager) tell(lines ...string) {
	if s.say != nil {
		s.say(strings.Join(lines, "\n"))
		return
	}
	if s.socket == nil {
		return
	}
	if _, err := s.socket.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		s.log.Warn("the service manager does not listen", "reason", err)
	}
}

// status tells what is going on, for people.
func (s *serviceManager) status(text string) { s.tell("STATUS=" + text) }

func (s *serviceManager) ready(status string) { s.tell(sd.SdNotifyReady, "STATUS="+status) }

// reloading is to be followed by ready.
func (s *serviceManager) reloading() {
	s.tell(sd.SdNotifyReloading)
}

// stopping asks, until ctx ends, for the time that it takes: services may have
// long graceful timeouts.
func (s *serviceManager) stopping(ctx context.Context) {
	const more = 30 * time.Second
	extend := fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", more.Microseconds())
	s.tell(sd.SdNotifyStopping, "STATUS=stopping all services", extend)
	beat := time.NewTicker(more / 3)
	defer beat.Stop()
	for s.socket != nil || s.say != nil {
		select {
		case <-beat.C:
			s.tell(extend)
		case <-ctx.Done():
			return
		}
	}
}

func (s *serviceManager) close() {
	if s.socket != nil {
		_ = s.socket.Close()
	}
}

// watch tells the watchdog that all is well for as long as it is: when the manager
// and each of its keepers answer.
func (s *serviceManager) watch(ctx context.Context, m *gaffer.Manager) {
	if s.watchdog == 0 {
		return
	}
	beat := time.NewTicker(s.watchdog / 2)
	defer beat.Stop()
	for {
		patience, cancel := context.WithTimeout(ctx, s.watchdog/2)
		err := m.Check(patience)
		cancel()
		if err == nil {
			s.tell(sd.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			s.log.Error("the manager does not answer; the watchdog is not told that all is well", "reason", err)
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
	}
}
