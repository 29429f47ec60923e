package proc

import (
	"fmt"
	"testing"
)

// sleepers starts a shell with n idle children and returns their pids.
func sleepers(tb testing.TB, n int) (parent int, children []int) {
	tb.Helper()
	c := run(tb, "sh", "-c", fmt.Sprintf(`i=0; while [ $i -lt %d ]; do sleep 1000 & i=$((i+1)); done; echo; trap exit TERM; wait`, n))
	c.line(tb)
	s := newSampler(tb)
	for tb.Context().Err() == nil && len(children) < n { // until all have been seen as what they are
		children = children[:0]
		u := sampleOne(tb, s, c.pid(), 0)
		for i := range u.Children {
			if u.Children[i].Command == "sleep" {
				children = append(children, u.Children[i].PID)
			}
		}
	}
	return c.pid(), children
}

func TestSamplingAllocatesNothing(t *testing.T) {
	const n = 1000
	parent, children := sleepers(t, n)
	for name, roots := range map[string][]int{"one tree": {parent}, "a root each": children} {
		s := newSampler(t)
		told := 0
		count := func(u *Usage) { told += 1 + len(u.Children) }
		sample := func() {
			if err := s.Sample(roots, WantFDs|WantIO, count); err != nil {
				t.Fatal(err)
			}
		}
		sample() // the buffers and the names
		sample()
		told = 0
		if allocs := testing.AllocsPerRun(fullEvery, sample); allocs > n/100 {
			t.Errorf("%s: %v allocations in a sample of %d processes", name, allocs, n)
		}
		if told < n*fullEvery {
			t.Errorf("%s: told %d times of %d processes", name, told, n)
		}
	}
}

func BenchmarkSample(b *testing.B) {
	const n = 1000
	parent, children := sleepers(b, n)
	for _, roots := range []struct {
		name string
		pids []int
	}{{"tree", []int{parent}}, {"roots", children}} {
		for _, want := range []struct {
			name string
			Want
		}{{"basic", 0}, {"fds", WantFDs}, {"io", WantIO}, {"all", WantFDs | WantIO}} {
			b.Run(roots.name+"/"+want.name, func(b *testing.B) {
				s := newSampler(b)
				sample := func() {
					if err := s.Sample(roots.pids, want.Want, func(*Usage) {}); err != nil {
						b.Fatal(err)
					}
				}
				sample()
				sample()
				b.ReportAllocs()
				for b.Loop() {
					sample()
				}
				b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/1000pids")
				b.ReportMetric(float64(len(s.pids)-n), "others")
			})
		}
	}
}
