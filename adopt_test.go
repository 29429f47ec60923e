package gaffer

import (
	"testing"

	"github.com/gafferpm/gaffer/internal/proc"
)

// What was started by a manager that could not have it kept any more has its id, all the
// same.
func TestIdsOfTheAdoptedAreNotGivenOutAgain(t *testing.T) {
	h := &noHolder{}
	m, err := New(Options{Holder: h, host: &h.fakeHost})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	held := []*proc.Held{{ID: 5000, PID: 4711, PIDFD: -1}, {ID: 17, PID: 4712, PIDFD: -1, Reaped: true}}
	if err := m.Adopt(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	if id := m.newID(); id != 5001 {
		t.Errorf("the next id is %d", id)
	}
}
