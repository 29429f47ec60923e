package holder

import (
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// tidier gives back the memory that a busy moment has taken, once that is over. While
// nothing happens it does nothing.
type tidier struct {
	last  atomic.Int64 // when something happened, in nanoseconds since 1970
	armed atomic.Bool  // look is going to be called
}

// quietTime is how long nothing may happen before memory is given back.
const quietTime = 2 * time.Second

// busy says that something happens.
func (t *tidier) busy() {
	t.last.Store(time.Now().UnixNano())
	if t.armed.CompareAndSwap(false, true) {
		time.AfterFunc(quietTime, t.look)
	}
}

func (t *tidier) look() {
	if quiet := time.Since(time.Unix(0, t.last.Load())); quiet >= 0 && quiet < quietTime {
		time.AfterFunc(quietTime-quiet, t.look)
		return
	}
	t.armed.Store(false)
	debug.FreeOSMemory()
	proc.DropProgramPages()
}
