package proc

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watchClock has the kernel tell: a timer on the clock that it cancels when that is set.
// It costs a descriptor and a goroutine, and nothing while nothing happens.
func watchClock(set func()) (stop func(), err error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	if err := armClock(file); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, err := file.Read(make([]byte, 8))
			if err != nil && !errors.Is(err, unix.ECANCELED) || armClock(file) != nil {
				return // it was closed
			}
			set()
		}
	}()
	return func() { _ = file.Close(); <-ended }, nil
}

// armClock sets the timer to a time that is so far away that it does not matter.
func armClock(file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	far := unix.ItimerSpec{Value: unix.NsecToTimespec(time.Now().AddDate(1, 0, 0).UnixNano())}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &far, nil)
	})
	return errors.Join(err, failed)
}
