package feed

import (
	"encoding/json"
	"strconv"
	"sync/atomic"

	"github.com/gafferpm/gaffer"
)

// keptEncodings is how many events are kept in their encoded form.
const keptEncodings = 1024

// encodings keeps the encoded form of the latest events, so that an event is
// encoded once, however many clients get it. An event is found by its number and
// compared: what a controller shows differently is encoded by itself.
type encodings struct {
	ring [keptEncodings]atomic.Pointer[encoding]
}

// encoding is an event as it is put on the wire.
type encoding struct {
	of      gaffer.Event
	message []byte // "id: 7\nevent: exit\ndata: {…}\n\n"
	data    int    // where in it the JSON begins
}

// line is the event's JSON and a newline.
func (e *encoding) line() []byte { return e.message[e.data : len(e.message)-1] }

// json is the event's JSON.
func (e *encoding) json() []byte { return e.message[e.data : len(e.message)-2] }

func (c *encodings) get(e *gaffer.Event) (*encoding, error) {
	place := &c.ring[e.Seq%keptEncodings]
	if kept := place.Load(); kept != nil && kept.of == *e {
		return kept, nil
	}
	made, err := encode(e)
	if err != nil {
		return nil, err
	}
	place.Store(made)
	return made, nil
}

func encode(e *gaffer.Event) (*encoding, error) {
	own := *e // that of the caller stays on its stack
	data, err := json.Marshal(&own)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(data)+len(e.Kind)+48)
	b = append(b, "id: "...)
	b = strconv.AppendUint(b, e.Seq, 10)
	b = append(b, "\nevent: "...)
	b = append(b, e.Kind...)
	b = append(b, "\ndata: "...)
	at := len(b)
	b = append(b, data...)
	return &encoding{own, append(b, "\n\n"...), at}, nil
}
