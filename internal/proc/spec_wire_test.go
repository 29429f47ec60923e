package proc

import (
	"reflect"
	"syscall"
	"testing"
)

func FuzzParseSpec(f *testing.F) {
	f.Add(AppendSpec(nil, &Spec{Path: "/bin/sh", Dir: "/", Args: []string{"sh", "\xff"}, Env: []string{"A=b\nc"}, OwnPID: "PID", Cred: &Cred{UID: 1, GID: 2, Groups: []uint32{3, 4}}}))
	f.Add(AppendSpec(nil, &Spec{}))
	f.Fuzz(func(t *testing.T, text []byte) {
		spec, err := ParseSpec(text)
		if err != nil {
			return
		}
		again, err := ParseSpec(AppendSpec(nil, spec))
		if err != nil || !reflect.DeepEqual(again, spec) {
			t.Errorf("%+v becomes %+v, %v", spec, again, err)
		}
	})
}

func TestFaultsKeepTheirNumber(t *testing.T) {
	err := FaultOf((&Spec{Path: "/x"}).fault(stepExec, syscall.ENOENT)).Err()
	if errnoOf(err) != syscall.ENOENT || err.Error() != "program /x: no such file or directory" {
		t.Errorf("%v, number %d", err, errnoOf(err))
	}
}
