package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/gafferpm/gaffer/internal/console"
)

// The ways in which the daemon writes its log.
const (
	logText = "text"
	logJSON = "json"
)

// newLog is the daemon's log. As text, a line is a time, a level and a sentence,
// then what it is about as NAME=VALUE. Where systemd's journal reads it, that
// knows the time and is told the level in its own way.
func newLog(out *os.File, format string, level slog.Leveler) (*slog.Logger, error) {
	switch format {
	case logJSON:
		return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})), nil
	case logText:
		terminal := console.IsTerminal(out)
		return slog.New(&lineHandler{
			out: &lockedWriter{w: out}, level: level, journal: os.Getenv("JOURNAL_STREAM") != "" && !terminal,
			color: console.WantsColor(terminal, os.Getenv),
		}), nil
	}
	return nil, usagef("--log-format %s: want %s or %s", format, logText, logJSON)
}

// lockedWriter writes a line at a time.
type lockedWriter struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// lineHandler writes records as lines for people.
type lineHandler struct {
	out     *lockedWriter
	level   slog.Leveler
	journal bool   // no time, and the level as <NUMBER> in front
	color   bool   // of the level
	attrs   string // of With, as they are written
	prefix  string // of WithGroup, with a dot behind
}

func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if h.journal {
		fmt.Fprintf(&b, "<%d>", priority(r.Level))
	} else {
		b.WriteString(r.Time.Format(time.DateTime))
		fmt.Fprintf(&b, " %s ", h.levelWord(r.Level))
	}
	b.WriteString(oneLine(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, h.prefix, a)
		return true
	})
	b.WriteByte('\n')
	_, err := h.out.Write([]byte(b.String()))
	return err
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		writeAttr(&b, h.prefix, a)
	}
	other := *h
	other.attrs += b.String()
	return &other
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	other := *h
	other.prefix += name + "."
	return &other
}

// levelWord is five letters wide, and coloured where something is wrong.
func (h *lineHandler) levelWord(level slog.Level) string {
	word := fmt.Sprintf("%-5s", level)
	const red, yellow = "\x1b[31m", "\x1b[33m"
	switch {
	case !h.color || level < slog.LevelWarn:
		return word
	case level < slog.LevelError:
		return yellow + word + "\x1b[0m"
	}
	return red + word + "\x1b[0m"
}

// priority is syslog's number of a level.
func priority(level slog.Level) int {
	switch {
	case level >= slog.LevelError:
		return 3
	case level >= slog.LevelWarn:
		return 4
	case level >= slog.LevelInfo:
		return 6
	}
	return 7
}

func writeAttr(b *strings.Builder, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range value.Group() {
			writeAttr(b, prefix, inner)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := value.String()
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r) }) {
		text = strconv.Quote(text)
	}
	fmt.Fprintf(b, " %s%s=%s", prefix, a.Key, text)
}

// oneLine keeps what comes from elsewhere from writing lines of its own, and from
// speaking to a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
