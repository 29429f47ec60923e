package proc

import (
	"reflect"
	"syscall"
	"testing"
)

func FuzzParseSpec(f *testing.F) {
	f.Add(AppendSpec(nil, &Spec{Path: "/bin/sh", Dir: "/", Args: []string{"sh", "\xff"}, Env: []string{"A=b\nc"}, OwnPID: "PID", Cred: &Cred{UID: 1, GID: 2, Groups: []uint32{3, 4}}}))
	f.Add(AppendSpec(nil, &Spec{}))
	f.Add(AppendSpec(nil, &Spec{Limits: &Limits{}}))
	f.Add(AppendSpec(nil, &Spec{Limits: allLimits()}))
	f.Add(AppendSpec(nil, &Spec{Path: "/bin/sh", Terminal: true}))
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

// allLimits has every field.
func allLimits() *Limits {
	return &Limits{
		Rlimits: []Rlimit{{"nofile", 10, Unlimited}, {"core", 0, 0}}, Nice: new(-5), IOPrio: 2<<13 | 5, CPUs: []int{0, 8191}, Umask: new(0o27),
		OOMScoreAdj: new(-999), Memory: 1 << 40, CPU: 150_000, Pids: 7, Cgroup: "/sys/fs/cgroup/x\xff", NoNewPrivs: true, KeepCaps: true,
		Caps: []int{10}, BoundCaps: true, Landlock: true, Read: []string{"/a b"}, Write: []string{"/c", "\xff"}, PrivateTmp: true,
	}
}

func TestLimitsSurviveTheWire(t *testing.T) {
	want := allLimits()
	for i := range reflect.TypeFor[Limits]().NumField() {
		if reflect.ValueOf(*want).Field(i).IsZero() {
			t.Errorf("%s is not in this test", reflect.TypeFor[Limits]().Field(i).Name)
		}
	}
	spec, err := ParseSpec(AppendSpec(nil, &Spec{Limits: want}))
	if err != nil || !reflect.DeepEqual(spec.Limits, want) {
		t.Errorf("%+v becomes %+v, %v", want, spec.Limits, err)
	}
	for _, none := range []*Limits{nil, {Read: []string{}, Write: []string{}}} {
		if spec, err := ParseSpec(AppendSpec(nil, &Spec{Limits: none})); err != nil || !reflect.DeepEqual(spec.Limits, none) {
			t.Errorf("%+v becomes %+v, %v", none, spec.Limits, err)
		}
	}
}
