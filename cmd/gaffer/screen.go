package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/console"
)

// screen is where a command prints. It knows whether a person looks at it, and
// keeps what is printed until Flush.
type screen struct {
	*bufio.Writer
	terminal bool
	color    bool
	file     *os.File  // the terminal, if it is one
	width    int       // characters of a line; 0: any number
	height   int       // lines
	now      time.Time // what "ago" is counted from
}

func newScreen(cmd *cobra.Command) *screen {
	s := &screen{Writer: bufio.NewWriterSize(cmd.OutOrStdout(), 32<<10), now: time.Now()}
	if f, ok := cmd.OutOrStdout().(*os.File); ok && console.IsTerminal(f) {
		s.terminal, s.file = true, f
		s.resize()
	}
	s.color = console.WantsColor(s.terminal, os.Getenv)
	return s
}

// resize notes how large the terminal is now.
func (s *screen) resize() {
	if s.file != nil {
		s.width, s.height = console.Size(s.file)
	}
}

// Colours: what is well, what needs a look, what is wrong, what is less important.
const (
	plain  = 0
	bold   = 1
	faint  = 2
	red    = 31
	green  = 32
	yellow = 33
)

// paint prints a text, shown clean, in a colour where colours are wanted.
func (s *screen) paint(text string, color int) {
	text = console.Clean(text)
	if !s.color || color == plain || text == "" {
		_, _ = s.WriteString(text)
		return
	}
	_, _ = s.WriteString("\x1b[" + strconv.Itoa(color) + "m" + text + "\x1b[0m")
}

// json prints a value as a document of its own: a list over several lines.
func (s *screen) json(v any) error {
	e := json.NewEncoder(s)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	return s.Flush()
}

// record prints a value as one line of a stream.
func (s *screen) record(v any) error {
	e := json.NewEncoder(s)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// stateColor is the colour of a state.
func stateColor(state gaffer.State) int {
	switch state {
	case gaffer.Running, gaffer.Done:
		return green
	case gaffer.Starting, gaffer.Stopping, gaffer.InBackoff, gaffer.Waiting, gaffer.Unhealthy:
		return yellow
	case gaffer.InFlapping, gaffer.Failed:
		return red
	case gaffer.Stopped:
		return faint
	}
	return plain
}

// size is a number of bytes as people say it: 512, 3.4K, 12M, 1.5G.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1000 {
		return strconv.FormatUint(n, 10)
	}
	f, unit := float64(n)/1024, 0
	for f >= 999.5 && unit < len(units)-1 {
		f /= 1024
		unit++
	}
	decimals := 0
	if f < 9.95 {
		decimals = 1
	}
	return strconv.FormatFloat(f, 'f', decimals, 64) + units[unit:unit+1]
}

// percent is a share as people say it: 0.3%, 12%.
func percent(f float64) string {
	if f < 9.95 {
		return strconv.FormatFloat(f, 'f', 1, 64) + "%"
	}
	return strconv.FormatFloat(f, 'f', 0, 64) + "%"
}

// uptime is how long ago something began, for a column: "12s", "3m20s", "4d2h".
func uptime(now, since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	d := now.Sub(since)
	if d < 10*time.Second {
		d = max(d, 0).Truncate(time.Second)
		return strconv.Itoa(int(d.Seconds())) + "s"
	}
	return console.Span(d)
}

// slotName is "web.2".
func slotName(name string, slot int) string { return name + "." + strconv.Itoa(slot) }

// naturally compares names as people sort them: web2 before web10.
func naturally(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

// digits is how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
