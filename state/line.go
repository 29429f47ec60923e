package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	"github.com/gafferpm/gaffer"
)

// A line of the journal is an event:
//
//	CHECKSUM SEQ ID JSON
//
// the checksum, in hexadecimal, being that of what follows it. JSON has no line
// breaks, so a damaged line spoils no other.

// castagnoli is made when it is needed first, and then there.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

const sumLen = 8 // hexadecimal digits of a checksum

var errLine = errors.New("damaged line")

// line is one that was read, its JSON not yet.
type line struct {
	seq, id uint64
	json    []byte
}

// appendLine appends the line of an event, with its end.
func appendLine(buf []byte, e *gaffer.Event) ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return buf, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	start := len(buf)
	buf = append(buf, "00000000 "...)
	buf = strconv.AppendUint(buf, e.Seq, 10)
	buf = append(buf, ' ')
	buf = strconv.AppendUint(buf, e.ID, 10)
	buf = append(buf, ' ')
	buf = append(buf, text...)
	putSum(buf[start:start+sumLen], crc32.Checksum(buf[start+sumLen+1:], castagnoli()))
	return append(buf, '\n'), nil
}

// putSum writes a checksum in hexadecimal.
func putSum(to []byte, sum uint32) {
	const digits = "0123456789abcdef"
	for i := range to {
		to[i] = digits[sum>>(4*(sumLen-1-i))&0xf]
	}
}

// parseLine reads a line without its end.
func parseLine(text []byte) (line, error) {
	if len(text) <= sumLen || text[sumLen] != ' ' {
		return line{}, errLine
	}
	var sum [sumLen]byte
	putSum(sum[:], crc32.Checksum(text[sumLen+1:], castagnoli()))
	if !bytes.Equal(sum[:], text[:sumLen]) {
		return line{}, errLine
	}
	seq, rest, ok := cutNumber(text[sumLen+1:])
	id, rest, ok2 := cutNumber(rest)
	if !ok || !ok2 || seq == 0 {
		return line{}, errLine
	}
	return line{seq: seq, id: id, json: rest}, nil
}

// cutNumber reads the number before the first blank.
func cutNumber(text []byte) (n uint64, rest []byte, ok bool) {
	number, rest, found := bytes.Cut(text, []byte{' '})
	n, err := strconv.ParseUint(string(number), 10, 64)
	return n, rest, found && err == nil
}

// event reads the line's JSON.
func (l line) event() (e gaffer.Event, err error) {
	if err := json.Unmarshal(l.json, &e); err != nil {
		return e, fmt.Errorf("event %d: %w", l.seq, err)
	}
	return e, nil
}
