package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/gafferpm/gaffer"
)

// syslog sends messages of RFC 5424: one per datagram (RFC 5426), or framed by their
// length over TCP and TLS (RFC 6587, RFC 5425).
type syslog struct {
	d        *Destination
	host     string
	facility int
	data     string // the structured data of all lines but for their own part
	conn     net.Conn
	gone     chan struct{} // closed when the peer has ended conn; nil for datagrams
	text     []byte
}

// Limits of a message. Receivers must take 2048 bytes (RFC 5424, 6.1; RFC 5425, 4.3.1);
// a datagram is as large as the network lets it be.
const (
	maxHostname = 255
	maxAppName  = 48
	maxDatagram = 65507 // what fits into one of UDP over IPv4
)

// enterprise is the number in names of structured data that belongs to documentation
// (RFC 5612): gaffer has none of its own.
const enterprise = "32473"

func newSyslog(d *Destination, o *Options) *syslog {
	s := &syslog{d: d, host: syslogName(o.Host, maxHostname), facility: facility(d.Facility)}
	var b strings.Builder
	for _, name := range sortedKeys(d.Labels) {
		fmt.Fprintf(&b, ` %s="%s"`, name, syslogValue(d.Labels[name]))
	}
	s.data = b.String()
	return s
}

func (s *syslog) close() { s.hangUp() }

func (s *syslog) hangUp() {
	if s.conn == nil {
		return
	}
	_ = s.conn.Close() // what was written is on its way, or lost
	if s.gone != nil {
		<-s.gone
	}
	s.conn, s.gone = nil, nil
}

// connect makes a connection, unless there is one that the peer has not ended.
func (s *syslog) connect(ctx context.Context) error {
	if s.gone != nil {
		select {
		case <-s.gone: // what is written now would be lost
			s.hangUp()
		default:
		}
	}
	if s.conn != nil {
		return nil
	}
	conn, err := dial(ctx, s.d)
	if err != nil {
		return bare(err)
	}
	s.conn = conn
	if framed(conn) {
		gone := make(chan struct{})
		s.gone = gone
		go func() {
			defer close(gone)
			_, _ = io.Copy(io.Discard, conn) // a receiver says nothing until it ends
		}()
	}
	return nil
}

// framed says that messages are not kept apart by the connection.
func framed(conn net.Conn) bool {
	n := conn.RemoteAddr().Network()
	return n == "tcp" || n == "unix"
}

func (s *syslog) send(ctx context.Context, lines []gaffer.Output) (done, lost int, err error) {
	if err := s.connect(ctx); err != nil {
		return 0, 0, err
	}
	if framed(s.conn) {
		return s.sendFramed(ctx, lines)
	}
	for i := range lines {
		s.text = s.message(s.text[:0], &lines[i])
		s.text = s.text[:min(len(s.text), maxDatagram)]
		err := bounded(ctx, s.conn, s.d.Timeout, func() error { _, err := s.conn.Write(s.text); return err })
		if errors.Is(err, syscall.EMSGSIZE) && len(s.text) > 2048 {
			s.text = s.text[:2048] // the end of a line that no datagram can hold
			err = bounded(ctx, s.conn, s.d.Timeout, func() error { _, err := s.conn.Write(s.text); return err })
		}
		if err != nil {
			s.hangUp()
			return i, 0, bare(err)
		}
	}
	return len(lines), 0, nil
}

// sendFramed sends lines over a stream. What was written before it broke may be sent again;
// what a slow receiver has taken in time is not, or it would never get on.
func (s *syslog) sendFramed(ctx context.Context, lines []gaffer.Output) (done, lost int, err error) {
	s.text = s.text[:0]
	var one []byte
	ends := make([]int, 0, len(lines))
	for i := range lines {
		one = s.message(one[:0], &lines[i])
		s.text = strconv.AppendInt(s.text, int64(len(one)), 10)
		s.text = append(append(s.text, ' '), one...)
		ends = append(ends, len(s.text))
	}
	written := 0
	err = bounded(ctx, s.conn, s.d.Timeout, func() error {
		var err error
		written, err = s.conn.Write(s.text)
		return err
	})
	if err != nil {
		s.hangUp()
		if !errors.Is(err, os.ErrDeadlineExceeded) || written == 0 {
			return 0, 0, bare(err)
		}
		done, _ = slices.BinarySearch(ends, written+1) // those that were written whole
		return done, 0, fmt.Errorf("it took %d bytes of %d within %s", written, len(s.text), s.d.Timeout)
	}
	return len(lines), 0, nil
}

// message appends the message of a line.
func (s *syslog) message(b []byte, o *gaffer.Output) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(s.facility*8+severity(o.Label)), 10)
	b = append(b, ">1 "...)
	b = o.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00") // at most 6 digits (6.2.3)
	b = append(b, ' ')
	b = append(b, s.host...)
	b = append(b, ' ')
	b = append(b, syslogName(processName(o), maxAppName)...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, o.ID, 10) // which, as PROCID, tells processes of a slot apart
	b = fmt.Appendf(b, ` %s [gaffer@%s name="%s" slot="%d" stream="%s"%s]`, syslogName(o.Label, 32), enterprise,
		syslogValue(o.Name), o.Slot, syslogValue(o.Label), s.data)
	if len(o.Data) == 0 {
		return b
	}
	b = append(b, ' ')
	if utf8.Valid(o.Data) {
		b = append(b, "\xef\xbb\xbf"...) // which says that it is UTF-8 (6.4)
	}
	return append(b, o.Data...)
}

// syslogName is a text as a field of the header, which has printable ASCII without blanks.
func syslogName(text string, atMost int) string {
	clean := strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f {
			return '_'
		}
		return c
	}, text)
	if clean == "" {
		return "-"
	}
	return clean[:min(len(clean), atMost)]
}

// syslogValue is a text as the value of a parameter.
func syslogValue(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(strings.ToValidUTF8(text, "\ufffd"))
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// bare is an error without what it was tried with.
func bare(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return errors.New("it takes nothing in time")
	case errors.As(err, &op):
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
