package forward

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// journal sends entries to systemd's journal in its native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): one datagram each, in which a line with
// its fields always fits, since a line has at most 64 KiB.
type journal struct {
	d        *Destination
	facility int
	labels   []byte // the fields of all lines
	conn     net.Conn
	text     []byte
}

func newJournal(d *Destination, _ *Options) *journal {
	j := &journal{d: d, facility: facility(d.Facility)}
	for _, name := range sortedKeys(d.Labels) {
		j.labels = appendField(j.labels, "GAFFER_"+strings.ToUpper(name), []byte(d.Labels[name]))
	}
	return j
}

func (j *journal) close() {
	if j.conn != nil {
		_ = j.conn.Close() // nothing waits in it
		j.conn = nil
	}
}

func (j *journal) send(ctx context.Context, lines []gaffer.Output) (done, lost int, err error) {
	if j.conn == nil {
		if j.conn, err = dial(ctx, j.d); err != nil {
			j.conn = nil
			return 0, 0, bare(err)
		}
	}
	for i := range lines {
		j.text = j.entry(j.text[:0], &lines[i])
		if err := bounded(ctx, j.conn, j.d.Timeout, func() error { _, err := j.conn.Write(j.text); return err }); err != nil {
			j.close()
			return i, 0, bare(err)
		}
	}
	return len(lines), 0, nil
}

func (j *journal) entry(b []byte, o *gaffer.Output) []byte {
	number := func(name string, n uint64) { b = appendField(b, name, strconv.AppendUint(nil, n, 10)) }
	b = appendField(b, "MESSAGE", o.Data)
	number("PRIORITY", uint64(severity(o.Label)))
	number("SYSLOG_FACILITY", uint64(j.facility))
	b = appendField(b, "SYSLOG_IDENTIFIER", []byte(processName(o)))
	b = appendField(b, "GAFFER_NAME", []byte(o.Name))
	number("GAFFER_SLOT", uint64(o.Slot))
	b = appendField(b, "GAFFER_STREAM", []byte(o.Label))
	number("GAFFER_ID", o.ID)
	b = appendField(b, "GAFFER_TIME", []byte(o.Time.UTC().Format(time.RFC3339Nano)))
	return append(b, j.labels...)
}

// appendField appends NAME=value, or where the value has lines of its own, its length.
func appendField(b []byte, name string, value []byte) []byte {
	b = append(b, name...)
	if bytes.IndexByte(value, '\n') < 0 {
		return append(append(append(b, '='), value...), '\n')
	}
	b = append(b, '\n')
	b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	return append(append(b, value...), '\n')
}
