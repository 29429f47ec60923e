package holder

import (
	"slices"
	"testing"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Every stream that there is has its number again at the other end.
func TestAnOrderKeepsTheNumbersOfStreams(t *testing.T) {
	o := order{places: []bool{true, false}, keep: []int{proc.Stdin, proc.Stdout, proc.Custom + 63, proc.Notify, proc.ReadyPipe}, spec: []byte("x")}
	f := &frame{body: o.append(nil), fds: make([]int, o.fds())}
	got, err := parseOrder(f)
	if err != nil || !slices.Equal(got.keep, o.keep) || !slices.Equal(got.places, o.places) || string(got.spec) != "x" {
		t.Errorf("got %+v, %v; want %+v", got, err, o)
	}
}
