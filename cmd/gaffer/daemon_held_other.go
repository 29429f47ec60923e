//go:build !linux

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api"
)

// Elsewhere services are the manager's own, and what they write is in memory.

type link struct{}

type logFiles struct{}

func (d *daemon) openLink(context.Context) error { return nil }
func (d *daemon) openLogs(context.Context) error { return nil }
func (d *daemon) openHost(context.Context) error { return nil }
func (d *daemon) adopt(context.Context) error    { return nil }
func (d *daemon) adopted() map[uint64]bool       { return nil }
func (d *daemon) outlived(*gaffer.Options)       {}
func (d *daemon) resumes() bool                  { return false }
func (d *daemon) sameLife() bool                 { return false }
func (d *daemon) lookAhead()                     {}
func (d *daemon) leave(string)                   {}
func (d *daemon) closeLink(error)                {}
func (d *daemon) upgrade(string) error           { return errors.ErrUnsupported }
func (d *daemon) upgraded() *api.Upgraded        { return nil }
func (d *daemon) tellReady()                     {}
func (d *daemon) tellService(string)             {}
func (d *daemon) dropSockets()                   {}
func (d *daemon) wasKilled() bool                { return false }

func (d *daemon) shareLog(*os.File, string, slog.Level) error { return nil }

func (d *daemon) keptFile(string) *os.File         { return nil }
func (d *daemon) keepFile(string, *os.File) error  { return nil }
func (d *daemon) keepSockets([]api.Endpoint) error { return nil }
