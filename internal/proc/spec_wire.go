package proc

import (
	"encoding/binary"
	"errors"
)

// errSpecText is what ParseSpec says of bytes that AppendSpec has not written.
var errSpecText = errors.New("specification of a start: torn")

// AppendSpec writes what a program needs that starts spec for another one: all but
// its descriptors. Strings may hold any bytes.
func AppendSpec(b []byte, spec *Spec) []byte {
	b = appendText(b, spec.Path)
	b = appendText(b, spec.Dir)
	b = appendTexts(b, spec.Args)
	b = appendTexts(b, spec.Env)
	b = appendLimits(b, spec.Limits)
	b = appendText(b, spec.OwnPID)
	b = append(b, truth(spec.Terminal))
	if spec.Cred == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	b = binary.AppendUvarint(b, uint64(spec.Cred.UID))
	b = binary.AppendUvarint(b, uint64(spec.Cred.GID))
	b = binary.AppendUvarint(b, uint64(len(spec.Cred.Groups)))
	for _, g := range spec.Cred.Groups {
		b = binary.AppendUvarint(b, uint64(g))
	}
	return b
}

// ParseSpec reads what AppendSpec has written.
func ParseSpec(b []byte) (*Spec, error) {
	r := specReader{rest: b}
	spec := &Spec{Path: r.text(), Dir: r.text(), Args: r.texts(), Env: r.texts(), Limits: r.limits(), OwnPID: r.text(), Terminal: r.byte() == 1}
	if r.byte() == 1 {
		spec.Cred = &Cred{UID: r.id(), GID: r.id()}
		for range r.count() {
			spec.Cred.Groups = append(spec.Cred.Groups, r.id())
		}
	}
	if r.torn || len(r.rest) > 0 {
		return nil, errSpecText
	}
	return spec, nil
}

func truth(is bool) byte {
	if is {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTexts(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

// specReader reads values one after the other; once something is missing, all are zero.
type specReader struct {
	rest []byte
	torn bool
}

func (r *specReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.torn, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// count is a number of things that are still to come, each at least a byte long.
func (r *specReader) count() int {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.torn, r.rest = true, nil
		return 0
	}
	return int(n)
}

func (r *specReader) id() uint32 { return uint32(r.number()) }

func (r *specReader) byte() byte {
	if len(r.rest) == 0 {
		r.torn = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *specReader) text() string {
	n := r.count()
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *specReader) texts() []string {
	n := r.count()
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.text())
	}
	return list
}

// Fault is an error of a start as it is told by the program that tried it: its
// words, and the system's error number that they are about.
type Fault struct {
	Text  string
	Errno uint32 // 0: none
}

// FaultOf is an error as it is told to another program.
func FaultOf(err error) Fault { return Fault{err.Error(), uint32(errnoOf(err))} }

// Err is the error again.
func (f Fault) Err() error {
	if f.Errno == 0 {
		return errors.New(f.Text)
	}
	return &faultError{f}
}

// faultError unwraps to the error number without saying it twice.
type faultError struct{ fault Fault }

func (e *faultError) Error() string { return e.fault.Text }
func (e *faultError) Unwrap() error { return numbered(e.fault.Errno) }
