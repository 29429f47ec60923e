package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// What a daemon in the background tells the one who started it: a line for each
// thing that takes time, and in the end that it is ready, or why it is not.
const (
	sayStatus = "status "
	sayReady  = "ready "
	sayError  = "error "
)

// starter is who started the daemon and waits for it. The zero value is nobody.
type starter struct {
	pipe *os.File
	say  func(line string) // through somebody else; nil: nobody
}

// newStarter is the one at the other end of a descriptor; 0 is nobody.
func newStarter(fd int) *starter {
	if fd <= 0 {
		return &starter{}
	}
	syscall.CloseOnExec(fd) // services must not hold it
	return &starter{pipe: os.NewFile(uintptr(fd), "starter")}
}

func (s *starter) tell(kind, text string) {
	if s.pipe != nil {
		_, _ = io.WriteString(s.pipe, kind+text+"\n")
	}
	if s.say != nil {
		s.say(kind + text)
	}
}

func (s *starter) status(text string) { s.tell(sayStatus, text) }

// ready is the last that is told, unless failed is.
func (s *starter) ready(text string) {
	s.tell(sayReady, text)
	s.close()
}

// failed tells why the daemon ends before it was ready.
func (s *starter) failed(err error) {
	if s.pipe == nil && s.say == nil || err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		s.tell(sayError, strings.TrimSuffix(line, "\n"))
	}
	s.close()
}

func (s *starter) close() {
	if s.pipe != nil {
		_ = s.pipe.Close()
		s.pipe = nil
	}
}

// startInBackground starts this program again, in a session of its own and with
// its output in a file, and returns when it answers.
func startInBackground(args []string, logPath string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := openLog(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ours.Close()
	// The first descriptor after the three standard ones is 3. Later flags win.
	cmd := exec.Command(program, append(args, "--background=false", "--log-file=", "--starter-fd=3")...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return err
	}
	defer endIfInterrupted(cmd.Process)()
	ready, err := hearStarted(ours)
	switch {
	case ready != "":
		fmt.Printf("gaffer daemon %d answers at %s; its log is %s\n", cmd.Process.Pid, ready, logPath)
		return cmd.Process.Release()
	case err != nil:
		_ = cmd.Wait()
		return err
	}
	err = cmd.Wait()
	return fmt.Errorf("the daemon ended before it was ready (%v); %s may say why", err, logPath)
}

// hearStarted hears what the daemon tells until it is ready, or has ended.
func hearStarted(from io.Reader) (ready string, err error) {
	var faults []string
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		line := lines.Text()
		if text, ok := strings.CutPrefix(line, sayStatus); ok {
			note("%s", text)
		} else if text, ok := strings.CutPrefix(line, sayReady); ok {
			return text, nil
		} else if text, ok := strings.CutPrefix(line, sayError); ok {
			faults = append(faults, text)
		}
	}
	if len(faults) == 0 {
		return "", nil
	}
	return "", errors.New(strings.Join(faults, "\n"))
}

// endIfInterrupted has the daemon end with this program, until the function it
// returns is called.
func endIfInterrupted(daemon *os.Process) (quit func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range signals {
			_ = daemon.Signal(syscall.SIGTERM)
			note("stopping the daemon (%v)", s)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// largestLog is how large the log of a daemon in the background may be when the
// next one starts: a larger one is set aside.
const largestLog = 10 << 20

// openLog opens a log to write at its end. One that is too large becomes FILE.1.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() > largestLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}
