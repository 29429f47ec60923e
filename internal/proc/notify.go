package proc

import "os"

// Message is what a process has told of itself.
type Message struct {
	Text  []byte     // lines of NAME=value; valid during the call only
	PID   int        // of the sender, which may have ended since
	UID   uint32     // of the sender
	Files []*os.File // that came with it: the receiver's
}

// Close closes the files that came with a message.
func (m *Message) Close() {
	for _, f := range m.Files {
		_ = f.Close()
	}
}

// Notified is what a Handler can be besides: it is told what the process says of itself,
// where Spec.Notify is set.
type Notified interface {
	Notified(m Message)
}
