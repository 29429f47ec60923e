package proc

import "time"

// A reading sooner than this after the one before repeats its percentage: the
// kernel's clock for CPU time ticks every 10ms.
const shortestReading = 50 * time.Millisecond

// Meter makes percentages of CPU times. Each watcher has its own, because a
// percentage is that since the watcher's last reading. The zero Meter is ready
// to use; one goroutine may use it at a time.
type Meter struct {
	round    uint32
	readings map[processKey]reading
}

// processKey names one process for ever.
type processKey struct {
	pid   int
	start uint64
}

type reading struct {
	cpu, age time.Duration
	percent  float64
	round    uint32
}

// Begin begins a round of readings. What was not read in the round before is
// forgotten.
func (m *Meter) Begin() {
	for key, last := range m.readings {
		if last.round != m.round {
			delete(m.readings, key)
		}
	}
	m.round++
}

// Percent is the part of one core that the process has used since the last
// reading, or the first time since it started: 100 is one core all the time.
// Its children are not in it.
func (m *Meter) Percent(u *Usage) float64 {
	key := processKey{u.PID, u.Start}
	last, known := m.readings[key]
	if !known && m.readings == nil {
		m.readings = make(map[processKey]reading)
	}
	cpu, age := u.CPUTime-last.cpu, u.Age-last.age
	if known && age < shortestReading {
		last.round = m.round
		m.readings[key] = last
		return last.percent
	}
	// A process younger than a tick would get any percentage.
	percent := 100 * float64(max(cpu, 0)) / float64(max(age, 10*time.Millisecond))
	m.readings[key] = reading{cpu: u.CPUTime, age: u.Age, percent: percent, round: m.round}
	return percent
}
