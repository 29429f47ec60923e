package proc

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// benchProgram is what benchmarks start: with GAFFER_BENCH_PROGRAM a static
// program that exits when started without arguments and waits with one, so that
// what is measured is ours.
func benchProgram(args ...string) (string, []string) {
	if path := os.Getenv("GAFFER_BENCH_PROGRAM"); path != "" {
		return path, append([]string{path}, args...)
	}
	if len(args) == 0 {
		return "/bin/true", []string{"true"}
	}
	return "/bin/sleep", []string{"sleep", "1000"}
}

func openMany(b *testing.B, n int) {
	b.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for range n {
		fd, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, 200)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = unix.Close(fd) })
	}
}

// BenchmarkStartAndExit is one start, with stdout and stderr captured, up to the
// call of Exited; with nothing captured for the os package.
func BenchmarkStartAndExit(b *testing.B) {
	for _, open := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("vfork/open=%d", open), func(b *testing.B) {
			benchmarkStarts(b, open, Options{Subreaper: true, engine: engineVfork})
		})
		b.Run(fmt.Sprintf("cgroup/open=%d", open), func(b *testing.B) {
			benchmarkStarts(b, open, Options{engine: engineVfork})
		})
		b.Run(fmt.Sprintf("forkexec/open=%d", open), func(b *testing.B) {
			benchmarkStarts(b, open, Options{Subreaper: true, engine: engineForkExec})
		})
		b.Run(fmt.Sprintf("os/open=%d", open), func(b *testing.B) {
			openMany(b, open)
			path, argv := benchProgram()
			defer reportCPU(b)()
			for b.Loop() {
				p, err := os.StartProcess(path, argv, &os.ProcAttr{Env: []string{}})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.Wait(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchmarkStarts(b *testing.B, open int, o Options) {
	h := newHost(b, o)
	openMany(b, open)
	path, argv := benchProgram()
	spec := &Spec{Path: path, Args: argv, Outputs: 2}
	b.ReportAllocs()
	defer reportCPU(b)()
	for b.Loop() {
		r := &counter{}
		r.gone.Add(1)
		if err := h.Start(spec, r); err != nil {
			b.Fatal(err)
		}
		r.gone.Wait()
	}
}

// reportCPU adds what this program and its ended children used of the processors
// per operation: unlike the time, it tells something on a busy machine.
func reportCPU(b *testing.B) func() {
	before := cpuTime(b)
	return func() {
		b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
	}
}

func cpuTime(b *testing.B) int64 {
	total := int64(0)
	for _, who := range [...]int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		if err := unix.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		total += usage.Utime.Nano() + usage.Stime.Nano()
	}
	return total
}

// counter is a Handler that only waits for the end.
type counter struct {
	process Process
	gone    sync.WaitGroup
}

func (c *counter) Started(p Process)  { c.process = p }
func (c *counter) Output(int, []byte) {}
func (c *counter) Exited(Exit)        { c.gone.Done() }

// BenchmarkBringUp starts a thousand processes that stay.
func BenchmarkBringUp(b *testing.B) { benchmarkMany(b, false) }

// BenchmarkKilledAtOnce kills a thousand, and starts another for each.
func BenchmarkKilledAtOnce(b *testing.B) { benchmarkMany(b, true) }

func benchmarkMany(b *testing.B, replace bool) {
	const many = 1000
	path, argv := benchProgram("wait")
	spec := &Spec{Path: path, Args: argv, Outputs: 2}
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			h := newHost(b, m.options)
			bringUp := func() []*keptUp {
				all := make([]*keptUp, many)
				for i := range all {
					all[i] = &keptUp{host: h, spec: spec, back: make(chan struct{}, 1)}
					if err := h.Start(spec, all[i]); err != nil {
						b.Fatal(err)
					}
				}
				return all
			}
			killAll := func(all []*keptUp) {
				for _, c := range all {
					_ = c.process.Signal(unix.SIGKILL)
				}
				for _, c := range all {
					<-c.back
				}
			}
			var all []*keptUp
			if replace {
				all = bringUp()
			}
			defer reportCPU(b)()
			for b.Loop() {
				if replace {
					killAll(all)
					continue
				}
				all = bringUp()
				b.StopTimer()
				for _, c := range all {
					c.leave()
				}
				killAll(all)
				b.StartTimer()
			}
			if replace {
				for _, c := range all {
					c.leave()
				}
				killAll(all)
			}
		})
	}
}

// keptUp starts its process again when it ends.
type keptUp struct {
	host    *Host
	spec    *Spec
	process Process
	back    chan struct{} // gets a token when it was started again, or has left

	mu      sync.Mutex
	leaving bool
}

func (k *keptUp) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leaving = true
}

func (k *keptUp) Started(p Process)  { k.process = p }
func (k *keptUp) Output(int, []byte) {}

func (k *keptUp) Exited(Exit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leaving {
		k.back <- struct{}{}
		return
	}
	go func() {
		if err := k.host.Start(k.spec, k); err != nil {
			panic(err)
		}
		k.back <- struct{}{}
	}()
}
