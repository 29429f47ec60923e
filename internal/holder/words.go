package holder

import (
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Welcome is what a manager learns first.
type Welcome struct {
	Protocol string
	Epoch    uint32
	PID      int       // the holder's
	First    bool      // none before it was ready
	Stops    int       // how often it was asked to stop everything
	Last     string    // how the manager before it ended; "": there was none
	Since    time.Time // when that was
	Upgrade  *Upgraded
}

// Upgraded is how the latest upgrade went.
type Upgraded struct {
	Binary string    `json:"binary"`
	Time   time.Time `json:"time"`
	Done   bool      `json:"done"`             // else it was rolled back
	Reason string    `json:"reason,omitempty"` // why
}

// heldText is what is said of a process that is held, beside its descriptors.
type heldText struct {
	PID    int
	PIDFD  bool // its descriptor is the first one
	Keep   []int
	Exit   *proc.Exit `json:",omitempty"`
	Reaped bool       `json:",omitempty"`
}

// LeftInOrder is the Last of a Welcome after a manager that has made room.
const LeftInOrder = "exit status 0"

// What begins the names of the listening sockets that a manager has had the holder keep,
// where the next one finds them: as those of a service manager. Those of the API are
// given up where no manager gets ready, as who connects is to be told; those of services
// are not, and also the service manager keeps them.
const (
	SocketPrefix        = "gaffer-kept-"
	ServiceSocketPrefix = "gaffer-socket-"
)

// What kindTell's body begins with.
const (
	tellService = 's' // lines for the service manager
	tellStarter = 'w' // a line for whoever waits for the daemon
	tellReady   = 'r' // the manager does all that it has to
)
