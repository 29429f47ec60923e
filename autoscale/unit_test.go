package autoscale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gafferpm/gaffer"
)

func TestNext(t *testing.T) {
	for _, tt := range []struct {
		n, least, most int
		load           float64
		want           int
	}{
		{2, 1, 10, 2, 2},
		{2, 1, 10, 2.2, 2}, // close enough
		{2, 1, 10, 2.3, 3},
		{3, 1, 10, 3.9, 4},
		{2, 1, 10, 9, 4}, // at most twice as many
		{8, 1, 10, 20, 10},
		{4, 1, 10, 2.8, 4}, // 3 would have too much
		{4, 1, 10, 2.7, 3},
		{8, 1, 10, 0, 4}, // at most half of them go
		{1, 1, 10, 0, 1},
		{1, 0, 10, 0, 0},
		{0, 0, 10, 0, 0},
		{0, 0, 10, 0.01, 1},
		{0, 0, 10, 50, 1},
		{20, 1, 10, 20, 10},
		{1, 3, 10, 1, 3},
		{2, 2, 2, 100, 2},
		{3, 1, 10, 1e300, 6},
		{100000, 1, 100000, 1e300, 100000},
	} {
		if got := next(tt.n, tt.least, tt.most, tt.load); got != tt.want {
			t.Errorf("%+v: got %d", tt, got)
		}
	}
}

// Under a load that stays it comes to rest, within the bounds, where nobody has more to
// do than it should, if that can be.
func TestNextComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.IntRange(0, 20).Draw(t, "least")
		most := rapid.IntRange(max(least, 1), 200).Draw(t, "most")
		n := rapid.IntRange(0, 300).Draw(t, "n")
		load := rapid.Float64Range(0, 400).Draw(t, "load")
		for range 20 {
			to := next(n, least, most, load)
			if to < least || to > most {
				t.Fatalf("%d is not within %d and %d", to, least, most)
			}
			n = to
		}
		if to := next(n, least, most, load); to != n {
			t.Fatalf("%d, then %d", n, to)
		}
		if n < most && load > above*float64(n)+1e-6 {
			t.Fatalf("%d are too few for %g", n, load)
		}
	})
}

func TestCPU(t *testing.T) {
	log := play(t, gaffer.Autoscale{Max: 4, CPU: 70, Interval: gaffer.Duration(10 * time.Second)}, 1, func(f *fakeManager) {
		f.change(func() { f.work = 182 })
		time.Sleep(10 * time.Minute)
		f.change(func() { f.work = 130 })
		time.Sleep(10 * time.Minute)
		f.change(func() { f.work = 20 })
		time.Sleep(10 * time.Minute)
	})
	want := []string{
		"1m0s from 1 to 2: cpu 100 % of 70 %",
		"2m0s from 2 to 3: cpu 91 % of 70 %",
		"20m10s from 3 to 1: cpu 7 % of 70 %",
	}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Error(diff)
	}
}

// What somebody has scaled stays so for the cooldown; beyond the bounds not for longer.
func TestOthersScaleToo(t *testing.T) {
	log := play(t, gaffer.Autoscale{Max: 4, CPU: 70, Interval: gaffer.Duration(10 * time.Second), Cooldown: new(gaffer.Duration(5 * time.Minute))}, 1, func(f *fakeManager) {
		f.change(func() { f.work = 60 })
		time.Sleep(10*time.Minute - time.Second)
		f.set(3)
		time.Sleep(10 * time.Minute)
		f.set(9)
		time.Sleep(6 * time.Minute)
		f.set(0)
		time.Sleep(6 * time.Minute)
	})
	want := []string{
		"15m0s from 3 to 1: cpu 20 % of 70 %",
		"25m0s from 9 to 4: at most 4",
		"31m0s from 0 to 1: at least 1",
	}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Error(diff)
	}
}

// What is not running as it should is left alone.
func TestNothingWhileItIsNotWell(t *testing.T) {
	for name, do := range map[string]func(*gaffer.Status){
		"stopped":  func(s *gaffer.Status) { s.Active, s.State = "stopped", gaffer.Stopped },
		"failed":   func(s *gaffer.Status) { s.Active, s.State = "stopped", gaffer.Failed },
		"starting": func(s *gaffer.Status) { s.Running, s.State = 1, gaffer.Starting },
		"backoff":  func(s *gaffer.Status) { s.Running, s.State = 1, gaffer.InBackoff },
		"flapping": func(s *gaffer.Status) { s.State = gaffer.InFlapping },
	} {
		t.Run(name, func(t *testing.T) {
			log := play(t, gaffer.Autoscale{Max: 9, Queue: "q", Target: 1}, 2, func(f *fakeManager) {
				f.change(func() {
					do(&f.status)
					f.queue = func(context.Context) (string, error) { return "50", nil }
				})
				time.Sleep(time.Hour)
			})
			if len(log) > 0 {
				t.Errorf("got %q", log)
			}
		})
	}
}

func TestQueue(t *testing.T) {
	answer, err := "120\n", error(nil)
	log := play(t, gaffer.Autoscale{Min: new(0), Max: 10, Queue: "q", Target: 30, Timeout: gaffer.Duration(5 * time.Second)}, 2, func(f *fakeManager) {
		says := func(a string, e error) {
			f.change(func() { answer, err = a, e })
			time.Sleep(10 * time.Minute)
		}
		f.change(func() {
			f.queue = func(ctx context.Context) (string, error) {
				f.mu.Lock()
				defer f.mu.Unlock()
				if answer == "hangs" {
					f.mu.Unlock()
					<-ctx.Done()
					f.mu.Lock()
					return "", ctx.Err()
				}
				return answer, err
			}
		})
		says("120", nil)
		says("", errors.New("exit status 1: no server"))
		says("no server", nil)
		says("-1", nil)
		says("NaN", nil)
		says("hangs", nil)
		says("125", nil)
		says("hangs", nil)
		says("0", nil)
		says("1", nil)
		// Nothing is asked while the answer would change nothing.
		asked := func() (n int) { f.change(func() { n = f.asked }); return n }
		before := asked()
		f.set(5)
		time.Sleep(50 * time.Second)
		if n := asked() - before; n > 0 {
			t.Errorf("asked %d times during the cooldown", n)
		}
	})
	want := []string{
		"1m0s from 2 to 4: queue 120, 30 for each",
		"10m15s queue: exit status 1: no server; it is not scaled until that works",
		"1h0m15s queue works again",
		"1h10m20s queue: it took longer than 5s and was killed; it is not scaled until that works",
		"1h20m15s queue works again",
		"1h20m15s from 4 to 2: queue 0, 30 for each",
		"1h21m15s from 2 to 1: queue 0, 30 for each",
		"1h22m15s from 1 to 0: queue 0, 30 for each",
		"1h30m15s from 0 to 1: queue 1, 30 for each",
	}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Error(diff)
	}
}

func TestFile(t *testing.T) {
	log := play(t, gaffer.Autoscale{Max: 10, RPSFile: "rps", Target: 100, Interval: gaffer.Duration(time.Second), Cooldown: new(gaffer.Duration(0))}, 1, func(f *fakeManager) {
		path := filepath.Join(f.unit.dir, "rps")
		time.Sleep(10 * time.Second)
		for _, text := range []string{"150.5\n", "x", " 40 "} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
		}
	})
	log = slices.DeleteFunc(log, func(s string) bool { return len(s) > 100 }) // has the path
	want := []string{
		"10s rps works again",
		"10s from 1 to 2: rps 150.5, 100 for each",
		`20s rps: "x" is no number from 0; it is not scaled until that works`,
		"30s rps works again",
		"30s from 2 to 1: rps 40, 100 for each",
	}
	for i := range log {
		log[i] = shift(log[i])
	}
	if diff := cmp.Diff(want, log[max(0, len(log)-len(want)):]); diff != "" {
		t.Error(diff)
	}
}

// shift takes away the second that a tick and a write at the same time may differ by.
func shift(line string) string {
	var d time.Duration
	var at, rest string
	if n, _ := fmt.Sscanf(line, "%s", &at); n == 1 {
		rest = line[len(at):]
		d, _ = time.ParseDuration(at)
	}
	return d.Truncate(10*time.Second).String() + rest
}
