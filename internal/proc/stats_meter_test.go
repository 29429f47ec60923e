package proc

import (
	"testing"
	"time"
)

func TestFirstPercentageIsSinceTheStart(t *testing.T) {
	var m Meter
	m.Begin()
	u := Usage{PID: 1, Start: 7, Age: 10 * time.Second, CPUTime: 5 * time.Second}
	wantPercent(t, &m, u, 50)
}

func TestPercentageIsSinceTheLastReading(t *testing.T) {
	var one, other Meter
	u := Usage{PID: 1, Start: 7, Age: 10 * time.Second}
	for _, m := range []*Meter{&one, &other} {
		m.Begin()
		wantPercent(t, m, u, 0)
	}
	u.Age, u.CPUTime = 11*time.Second, 2*time.Second // two threads
	one.Begin()
	wantPercent(t, &one, u, 200)
	u.Age, u.CPUTime = 12*time.Second, 2*time.Second
	one.Begin()
	wantPercent(t, &one, u, 0)
	other.Begin()
	wantPercent(t, &other, u, 100)
}

func TestReadingTooSoonRepeatsThePercentage(t *testing.T) {
	var m Meter
	u := Usage{PID: 1, Start: 7, Age: 10 * time.Second, CPUTime: time.Second}
	m.Begin()
	wantPercent(t, &m, u, 10)
	for range 4 {
		u.Age += 20 * time.Millisecond
		u.CPUTime += 10 * time.Millisecond
		m.Begin()
		if u.Age < 10*time.Second+shortestReading {
			wantPercent(t, &m, u, 10)
			continue
		}
		wantPercent(t, &m, u, 50)
		break
	}
}

func TestSamePIDWithAnotherStartIsAnotherProcess(t *testing.T) {
	var m Meter
	m.Begin()
	wantPercent(t, &m, Usage{PID: 1, Start: 7, Age: 10 * time.Second, CPUTime: 10 * time.Second}, 100)
	m.Begin()
	wantPercent(t, &m, Usage{PID: 1, Start: 900, Age: time.Second, CPUTime: time.Second / 4}, 25)
}

func TestNewbornProcessHasAPercentage(t *testing.T) {
	var m Meter
	m.Begin()
	wantPercent(t, &m, Usage{PID: 1, Start: 7}, 0)
	wantPercent(t, &m, Usage{PID: 2, Start: 7, CPUTime: 10 * time.Millisecond}, 100)
}

func TestMeterForgetsWhatIsGone(t *testing.T) {
	var m Meter
	for pid := range 1000 {
		m.Begin()
		m.Percent(&Usage{PID: pid, Start: 1, Age: time.Second})
		m.Percent(&Usage{PID: -1, Start: 1, Age: time.Duration(pid) * time.Second})
	}
	if n := len(m.readings); n > 3 {
		t.Errorf("%d readings are remembered", n)
	}
	if _, ok := m.readings[processKey{-1, 1}]; !ok {
		t.Error("a process that is there was forgotten")
	}
}

func wantPercent(t *testing.T, m *Meter, u Usage, want float64) {
	t.Helper()
	if got := m.Percent(&u); got != want {
		t.Errorf("pid %d: got %v%%, want %v%%", u.PID, got, want)
	}
}
