package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/logs"
	"github.com/gafferpm/gaffer/internal/proc"
)

// logFiles are the log files, as the manager wants them.
type logFiles struct {
	store *logs.Store
	since time.Time // until when what is being adopted was read; zero: nothing is
}

// openLogs opens the log files. What was read last, and not written, when the manager
// before was killed is written.
func (d *daemon) openLogs(context.Context) error {
	dir, err := filepath.Abs(d.flags.runtimeDir)
	if err != nil {
		return err
	}
	store, err := logs.Open(filepath.Join(d.flags.stateDir, "logs"), logs.Options{
		Staging: filepath.Join(dir, "staging"), Logger: d.log,
	})
	if err != nil {
		return err
	}
	d.atEnd(func() {
		if err := store.Close(); err != nil {
			d.log.Error("logs", "reason", err)
		}
	})
	d.logs = &logFiles{store: store}
	return nil
}

// Capture implements gaffer.Logs.
func (l *logFiles) Capture(name string, slot int, label string, id uint64, bounds *gaffer.LogFiles) proc.Capture {
	return l.store.Writer(name, slot, label, limits(bounds)).Process(id, l.since)
}

// Writer implements gaffer.Logs.
func (l *logFiles) Writer(name string, slot int, label string, id uint64, bounds *gaffer.LogFiles) io.WriteCloser {
	return l.store.Writer(name, slot, label, limits(bounds)).Process(id, time.Time{})
}

// Bound implements gaffer.Logs.
func (l *logFiles) Bound(name string, bounds *gaffer.LogFiles) { l.store.Bound(name, limits(bounds)) }

// limits are the bounds of log files that a template has.
func limits(l *gaffer.LogFiles) logs.Limits {
	if l == nil {
		return logs.Limits{}
	}
	return logs.Limits{
		MaxSize: int64(l.MaxSize), MaxFiles: l.MaxFiles, MaxTotal: int64(l.MaxTotal), MaxAge: time.Duration(l.MaxAge),
		Plain: l.Compress != nil && !*l.Compress,
	}
}

// Trouble implements gaffer.Logs.
func (l *logFiles) Trouble(name string) (lost int64, blocked time.Duration) {
	return l.store.Trouble(name)
}

// Read implements gaffer.Logs.
func (l *logFiles) Read(q gaffer.LogQuery) (gaffer.Stream[gaffer.Output], error) {
	after, err := logs.ParseCursors(q.How.After)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", gaffer.ErrInvalid, err)
	}
	query := logs.Query{
		Sources: q.Wanted, Since: q.How.Since, Until: q.How.Until, Tail: q.How.Tail, Raw: q.How.Raw,
		Follow: !q.How.NoFollow, After: after, Match: q.Match,
	}
	if q.ID != 0 {
		query.IDs = func(id uint64) bool { return id == q.ID }
	}
	return logStream{l.store.Read(query)}, nil
}

// End implements gaffer.Logs.
func (l *logFiles) End() { l.store.EndReaders() }

// logStream is a reader of log files as a stream of output.
type logStream struct{ reader *logs.Reader }

func (s logStream) Next(ctx context.Context) (gaffer.Output, error) {
	r, err := s.reader.Next(ctx)
	var gap *logs.Gap
	if errors.As(err, &gap) {
		err = (*gaffer.OutputGap)(gap)
	}
	if err != nil {
		return gaffer.Output{}, err
	}
	return gaffer.Output{
		Name: r.Name, Slot: r.Slot, Label: r.Label, ID: r.ID, Time: r.Time, Data: r.Data, Partial: r.Partial,
		Cursor: r.Cursor.String(),
	}, nil
}

func (s logStream) Len() int { return s.reader.Len() }
func (s logStream) Close()   { s.reader.Close() }
