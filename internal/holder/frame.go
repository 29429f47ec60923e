package holder

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Protocol is the version of what the holder and the manager say to each other. A
// manager of another version can't work with a running holder, which then has to be
// replaced, too. It is text so that a build can have another one.
var Protocol = "2"

// kind says what a frame is about.
type kind uint8

// From the manager.
const (
	kindHello   kind = iota + 1 // here I am; the body is the protocol
	kindStart                   // start the process of that id; see order
	kindHold                    // hold the process of that id, which was started by another holder
	kindReap                    // bury the process of that id
	kindForget                  // bury it, and close its streams
	kindTell                    // the body is for the service manager, or for whoever waits for the daemon
	kindOver                    // all is stopped, this is the end: the number is the exit status
	kindAlive                   // the answer to kindPing
	kindFile                    // keep the file of that name for the next manager, to which it goes likewise
	kindSocket                  // keep the listening socket of that name for the next manager
	kindSockets                 // give up those that were kept whose names begin with the body
	kindLog                     // write the log to the descriptor, in the body's way
	kindUpgrade                 // begin the upgrade to the binary behind the descriptor; see upgrade
)

// From the holder.
const (
	kindWelcome  kind = iota + 32 // the answer to kindHello; see Welcome
	kindHeld                      // a process that is held; see heldText
	kindListed                    // that were all that are held
	kindStarted                   // the process of that id runs; the number is its pid, the descriptor its pidfd
	kindFailed                    // it could not be started; the body is a proc.Fault
	kindExit                      // it has ended; the body is a proc.Exit
	kindPing                      // are you alive?
	kindStop                      // stop everything, and then end; the number is how often that was asked for
	kindReload                    // apply the files again
	kindLeave                     // end, and touch no service: another manager takes over
	kindRefused                   // what was asked for can't be; the body says why
	kindUpgraded                  // an upgrade is over; the body is an Upgraded
	kindAccepted                  // the upgrade that was asked for has begun
	kindRestored                  // what the service manager had kept of a process; see heldText
)

// Between the holder and the spawner.
const (
	kindSpawn  kind = iota + 64 // as kindStart, without what is to be kept
	kindBorn                    // the number is the pid, the descriptor the pidfd
	kindUnborn                  // the body is a proc.Fault; the descriptor, if any, is of what has to be buried
)

// frame is one thing that is said. The descriptors of one that was received are the
// receiver's; those of one that is to be sent may be closed when send has returned.
type frame struct {
	kind   kind
	epoch  uint32 // of the manager that it is from, or to
	id     uint64
	number int64
	body   []byte
	fds    []int
}

const (
	headerSize = 32
	// maxBody is more than the arguments and the environment of a process can be.
	maxBody = 8 << 20
	// maxFDs is how many descriptors the kernel passes at once.
	maxFDs = 253
)

var errTorn = errors.New("what was received is no frame")

// appendHeader writes what stands before a frame's body.
func appendHeader(b []byte, f *frame) []byte {
	b = append(b, byte(f.kind), byte(len(f.fds)), 0, 0)
	b = binary.LittleEndian.AppendUint32(b, f.epoch)
	b = binary.LittleEndian.AppendUint64(b, f.id)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.number))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.body)))
	return append(b, 0, 0, 0, 0)
}

// parseHeader reads it: the frame, and how much body and how many descriptors it has.
func parseHeader(b []byte) (f frame, body, fds int, err error) {
	f.kind, fds = kind(b[0]), int(b[1])
	f.epoch = binary.LittleEndian.Uint32(b[4:])
	f.id = binary.LittleEndian.Uint64(b[8:])
	f.number = int64(binary.LittleEndian.Uint64(b[16:]))
	size := binary.LittleEndian.Uint32(b[24:])
	if size > maxBody || fds > maxFDs {
		return f, 0, 0, fmt.Errorf("%w: %d bytes and %d descriptors", errTorn, size, fds)
	}
	return f, int(size), fds, nil
}

// An order's body begins with what its descriptors are: how many the process gets,
// one byte for each that says whether it is among them, and the streams of those that are to be kept. The rest is for the spawner.
type order struct {
	places []bool // of the process's descriptors; false is the null device
	keep   []int  // streams
	spec   []byte
}

func (o *order) fds() int {
	n := len(o.keep)
	for _, p := range o.places {
		if p {
			n++
		}
	}
	return n
}

func (o *order) append(b []byte) []byte {
	b = append(b, byte(len(o.places)), byte(len(o.keep)))
	for _, p := range o.places {
		b = append(b, flag(p))
	}
	for _, s := range o.keep {
		b = append(b, byte(s))
	}
	return append(b, o.spec...)
}

func parseOrder(f *frame) (o order, err error) {
	b := f.body
	if len(b) < 2 || len(b) < 2+int(b[0])+int(b[1]) {
		return o, errTorn
	}
	places, keep := int(b[0]), int(b[1])
	b = b[2:]
	for _, p := range b[:places] {
		o.places = append(o.places, p != 0)
	}
	for _, s := range b[places : places+keep] {
		o.keep = append(o.keep, int(s))
	}
	o.spec = b[places+keep:]
	if o.fds() != len(f.fds) {
		return o, fmt.Errorf("%w: %d descriptors, not %d", errTorn, len(f.fds), o.fds())
	}
	return o, nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
