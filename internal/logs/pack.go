//go:build linux

package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A compressed file is frames of zstd, each of frameSize bytes of the stream but the last,
// and a table of them at the end, as the zstd project's seekable format has it: whoever
// reads a line holds one frame in memory, and any zstd tool reads the whole.
const (
	frameSize = 256 << 10

	skippableMagic = 0x184D2A5E // of the frame that the table is in
	seekableMagic  = 0x8F92EAB1 // at its end
	tableEntry     = 8          // compressed size, size
	tableFooter    = 9          // number of frames, flags, seekableMagic
)

// pack compresses a segment. Whenever that is interrupted, one good file is there.
func pack(path string) error {
	in, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was given up meanwhile
	}
	if err != nil {
		return err
	}
	defer in.Close()
	temp := path + tempSuffix
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	err = packInto(f, in)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, path+zstSuffix)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	return os.Remove(path)
}

func packInto(out io.Writer, in io.Reader) error {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	text, frame := make([]byte, frameSize), []byte(nil)
	var table []byte
	for {
		n, err := io.ReadFull(in, text)
		if n > 0 {
			frame = encoder.EncodeAll(text[:n], frame[:0])
			if _, err := out.Write(frame); err != nil {
				return err
			}
			table = binary.LittleEndian.AppendUint32(table, uint32(len(frame)))
			table = binary.LittleEndian.AppendUint32(table, uint32(n))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	end := binary.LittleEndian.AppendUint32(nil, skippableMagic)
	end = binary.LittleEndian.AppendUint32(end, uint32(len(table)+tableFooter))
	end = append(end, table...)
	end = binary.LittleEndian.AppendUint32(end, uint32(len(table)/tableEntry))
	end = append(end, 0)
	_, err = out.Write(binary.LittleEndian.AppendUint32(end, seekableMagic))
	return err
}

// packed is a compressed file. It is read by one goroutine.
type packed struct {
	file    *os.File
	frames  []frame
	size    int64 // of what was compressed, as far as it is there
	whole   int64 // what it should be
	decoder *zstd.Decoder
	held    int // the frame that is in text; -1: none
	text    []byte
}

// frame is one of a compressed file.
type frame struct {
	at, from int64 // where it begins in the file, and in what was compressed
	length   int
}

// openPacked opens a compressed file. One without a table is one frame.
func openPacked(path string) (*packed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p := &packed{file: f, held: -1}
	if err := p.readTable(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return p, nil
}

func (p *packed) readTable() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	footer := make([]byte, tableFooter)
	if _, err := p.file.ReadAt(footer, max(0, info.Size()-tableFooter)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(footer))
	begin := info.Size() - tableFooter - n*tableEntry
	if binary.LittleEndian.Uint32(footer[5:]) != seekableMagic || begin < 0 {
		return p.walk(info.Size())
	}
	table := make([]byte, n*tableEntry)
	if _, err := p.file.ReadAt(table, begin); err != nil {
		return err
	}
	at := int64(0)
	for e := range slices.Chunk(table, tableEntry) {
		f := frame{at: at, from: p.size, length: int(binary.LittleEndian.Uint32(e))}
		at += int64(f.length)
		p.size += int64(binary.LittleEndian.Uint32(e[4:]))
		p.frames = append(p.frames, f)
	}
	if at > begin {
		return errors.New("the table of a compressed file is wrong")
	}
	return nil
}

// walk finds the frames of a file without a table: one that was cut, or that somebody
// else has compressed. What is after a frame that is not whole is not found.
func (p *packed) walk(size int64) error {
	for at := int64(0); at < size; {
		f, content, err := p.frameAt(at, size)
		if errors.Is(err, errCut) {
			break
		}
		if err != nil {
			return err
		}
		if content >= 0 {
			f.from = p.size
			p.frames = append(p.frames, f)
			p.size += content
		}
		at += int64(f.length)
	}
	return nil
}

var errCut = errors.New("a frame is not whole")

// largestFrame is how much of a file may be one frame, which is read into memory.
const largestFrame = 64 << 20

// frameAt is the frame at a place in the file, and how much is in it; -1: it is none of
// data.
func (p *packed) frameAt(at, size int64) (f frame, content int64, err error) {
	buf := make([]byte, zstd.HeaderMaxSize)
	n, err := p.file.ReadAt(buf, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return f, 0, err
	}
	var head zstd.Header
	switch err := head.Decode(buf[:n]); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return f, 0, errCut
	case err != nil:
		return f, 0, err
	}
	if head.Skippable {
		const skippableHead = 8
		return frame{at: at, length: skippableHead + int(head.SkippableSize)}, -1, nil
	}
	if !head.HasFCS || head.FrameContentSize > largestFrame {
		return f, 0, fmt.Errorf("a frame has more than %d bytes, or does not say how many", largestFrame)
	}
	end := at + int64(head.HeaderSize)
	for last := false; !last; {
		var block [3]byte
		if n, err := p.file.ReadAt(block[:], end); n < len(block) {
			if errors.Is(err, io.EOF) {
				err = errCut
			}
			return f, 0, err
		}
		// RFC 8878, 3.1.1.2: whether it is the last one, its type, its size.
		bits := uint32(block[0]) | uint32(block[1])<<8 | uint32(block[2])<<16
		last = bits&1 != 0
		length := int64(bits >> 3)
		if kind := bits >> 1 & 3; kind == 1 { // one byte that is repeated
			length = 1
		}
		end += int64(len(block)) + length
	}
	if head.HasCheckSum {
		end += 4
	}
	if end > size {
		return f, 0, errCut
	}
	return frame{at: at, length: int(end - at)}, int64(head.FrameContentSize), nil
}

// ReadAt implements io.ReaderAt, up to the end of a frame.
func (p *packed) ReadAt(b []byte, at int64) (int, error) {
	if at >= p.size && at < p.whole {
		return 0, &damaged{p.whole, io.ErrUnexpectedEOF}
	}
	if at < 0 || at >= p.size {
		return 0, io.EOF
	}
	i := sort.Search(len(p.frames), func(i int) bool { return p.frames[i].from > at }) - 1
	next := p.size
	if i+1 < len(p.frames) {
		next = p.frames[i+1].from
	}
	if err := p.hold(i); err != nil {
		return 0, &damaged{next, err}
	}
	if int64(len(p.text)) != next-p.frames[i].from {
		return 0, &damaged{next, io.ErrUnexpectedEOF}
	}
	return copy(b, p.text[at-p.frames[i].from:]), nil
}

// damaged says that what is before an offset can't be read.
type damaged struct {
	next int64
	err  error
}

func (d *damaged) Error() string { return "compressed log file: " + d.err.Error() }
func (d *damaged) Unwrap() error { return d.err }

// hold takes a frame into memory.
func (p *packed) hold(i int) error {
	if p.held == i {
		return nil
	}
	if p.decoder == nil {
		var err error
		p.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return err
		}
	}
	frame := make([]byte, p.frames[i].length)
	if _, err := p.file.ReadAt(frame, p.frames[i].at); err != nil {
		return err
	}
	text, err := p.decoder.DecodeAll(frame, p.text[:0])
	p.held, p.text = i, text
	if err != nil {
		p.held = -1
	}
	return err
}

// Close implements io.Closer.
func (p *packed) Close() error {
	if p.decoder != nil {
		p.decoder.Close()
	}
	return p.file.Close()
}

// packAfter is how long a file is left as it is: of what is written so quickly that it
// is given up again within that time, nothing need be compressed.
const packAfter = 10 * time.Second

// packLater has files compressed that are not yet, after a while.
func (s *Store) packLater(list []segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	due := time.Now().Add(s.wait)
	for _, f := range list {
		if _, known := s.packs[f.path]; !known && !f.packed {
			s.packs[f.path] = due
		}
	}
	if s.packing == nil && len(s.packs) > 0 {
		s.packing = time.AfterFunc(s.wait, s.packDue)
	}
}

// packDue compresses the files whose time has come.
func (s *Store) packDue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packing = nil
	now, next := time.Now(), time.Time{}
	for path, due := range s.packs {
		if due.After(now) {
			if next.IsZero() || due.Before(next) {
				next = due
			}
			continue
		}
		delete(s.packs, path)
		s.post(func() error { return pack(path) })
	}
	if !next.IsZero() && !s.closed {
		s.packing = time.AfterFunc(next.Sub(now), s.packDue)
	}
}

// aside has something done that nobody waits for, one after the other, on a goroutine
// that lives while there is something to do.
func (s *Store) aside(task func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.post(task)
}

// post is aside while mu is held.
func (s *Store) post(task func() error) {
	if s.closed {
		return
	}
	s.tasks = append(s.tasks, task)
	if !s.tidying {
		s.tidying = true
		s.beside.Go(s.tidy)
	}
}

func (s *Store) tidy() {
	for {
		s.mu.Lock()
		if len(s.tasks) == 0 || s.closed {
			s.tidying = false
			s.mu.Unlock()
			return
		}
		task := s.tasks[0]
		s.tasks = s.tasks[1:]
		s.mu.Unlock()
		if err := task(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.logger.Error("log files are not as they should be", "reason", err)
		}
	}
}
