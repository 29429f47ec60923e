package main

import (
	"cmp"
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gafferpm/gaffer"
)

// listen handles signals until the function it returns is called: SIGTERM and
// SIGINT stop, a second one kills; SIGHUP applies the files again. SIGPIPE is
// caught, and not ignored as what is ignored here would be ignored by all
// services; SIGUSR1 and SIGUSR2 mean nothing and must not end the daemon.
func (d *daemon) listen(ctx context.Context) (quit func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP,
		syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-d.again:
				d.reload(ctx)
			case <-ended:
				return
			}
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range signals {
			if s != syscall.SIGHUP {
				d.signalled(s)
				continue
			}
			d.askReload()
		}
		close(ended)
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
		<-over
	}
}

// askReload has the files applied; one who asks waits at most: it will see the latest.
func (d *daemon) askReload() {
	select {
	case d.again <- struct{}{}:
	default:
	}
}

func (d *daemon) signalled(s os.Signal) {
	switch s {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		if d.link != nil { // who stops everything is the holder
			d.leave(gaffer.Signal(s.(syscall.Signal)).String())
			return
		}
		first := d.end(gaffer.Signal(s.(syscall.Signal)).String())
		if !first || s == syscall.SIGQUIT {
			d.log.Warn("killing what has not stopped yet")
			d.manager.Kill()
		}
	}
}

// reload applies the files again, as a signal asks for.
func (d *daemon) reload(ctx context.Context) {
	d.manager.Audit("SIGHUP", "", "reload")
	d.service.reloading()
	defer d.service.ready("")
	done, err := d.files.Reload(ctx)
	for _, s := range done.Steps {
		if s.Op == gaffer.OpKeep {
			continue
		}
		if s.Error != "" || s.Op == gaffer.OpConflict {
			d.log.Error("reload", "template", s.Name, "step", s.Op, "error", cmp.Or(s.Error, s.Message))
		} else {
			d.log.Info("reload", "template", s.Name, "step", s.Op)
		}
	}
	if err != nil && len(done.Steps) == 0 {
		d.log.Error("reload: " + err.Error())
		return
	}
	d.log.Info("reloaded: " + planSummary(done))
}
