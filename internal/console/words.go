package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gafferpm/gaffer"
)

// sentence is what a person is told about an event, and how grave it is.
type sentence struct {
	text  string
	color int // 0: none
}

// narrator turns events into sentences. It remembers what it needs to say how
// long a process ran and why it was stopped. It belongs to one goroutine.
type narrator struct {
	started map[uint64]time.Time // when processes that run were started, by id
	asked   map[uint64]string    // why processes that end were asked to, by id
	crashed map[string]bool      // slots whose last process crashed
	exited  uint64               // the id of the latest exit
}

func newNarrator() *narrator {
	return &narrator{started: map[uint64]time.Time{}, asked: map[uint64]string{}, crashed: map[string]bool{}}
}

// tell is the sentence of an event; some have none.
func (n *narrator) tell(e gaffer.Event) (sentence, bool) {
	switch e.Kind {
	case gaffer.KindSpawn:
		return n.spawn(e), true
	case gaffer.KindReap, gaffer.KindStopPID:
		n.asked[e.ID] = e.Message
		return sentence{}, false
	case gaffer.KindExit:
		return n.exit(e), true
	case gaffer.KindReady:
		return sentence{slotName(e) + " is ready" + behind(": ", e.Message), green}, true
	case gaffer.KindUnready:
		return sentence{slotName(e) + " is not ready" + behind(": ", strings.TrimPrefix(e.Message, "not ready ")), red}, true
	case gaffer.KindHealthy:
		return sentence{slotName(e) + " is healthy" + behind(": ", e.Message), green}, true
	case gaffer.KindUnhealthy:
		return sentence{slotName(e) + " is unhealthy" + behind(": ", e.Message), red}, true
	case gaffer.KindHook:
		return sentence{slotName(e) + " " + e.Message, red}, true
	case gaffer.KindBackoff:
		if e.ID == n.exited {
			return sentence{}, false // its exit said so
		}
		return sentence{slotName(e) + " " + e.Message, red}, true
	case gaffer.KindFlap:
		return sentence{e.Name + " crashes too often: " + e.Message, red}, true
	case gaffer.KindFail:
		return sentence{e.Name + " has failed: " + e.Message, red}, true
	case gaffer.KindRun:
		return sentence{e.Name + " is run" + behind(", ", e.Message), 0}, true
	case gaffer.KindSkip:
		return sentence{e.Name + " is not run: " + e.Message, red}, true
	case gaffer.KindUpdate:
		return sentence{e.Name + " was changed" + behind(": ", e.Message), 0}, true
	case gaffer.KindRestart:
		return sentence{e.Name + " is being restarted" + behind(": ", e.Message), 0}, true
	}
	return sentence{}, false
}

func (n *narrator) spawn(e gaffer.Event) sentence {
	how, color := "started", 0
	if n.crashed[slotName(e)] {
		how, color = "started again", green
		delete(n.crashed, slotName(e))
	}
	if e.Message == "" {
		n.started[e.ID] = e.Time
	}
	return sentence{fmt.Sprintf("%s %s%s (pid %d)", slotName(e), how, behind(", ", e.Message), e.PID), color}
}

func (n *narrator) exit(e gaffer.Event) sentence {
	why, asked := n.asked[e.ID]
	began, known := n.started[e.ID]
	delete(n.asked, e.ID)
	delete(n.started, e.ID)
	n.exited = e.ID

	var exit gaffer.Exit
	if e.Exit != nil {
		exit = *e.Exit
	}
	after := ""
	if known && !exit.Time.IsZero() {
		after = " after " + span(exit.Time.Sub(began))
	}
	if asked {
		// The reason begins with what the event before it said already.
		how := strings.TrimPrefix(exit.Reason, why+": ")
		return sentence{slotName(e) + " stopped" + after + behind(": ", how), 0}
	}
	n.crashed[slotName(e)] = true
	did, color := " crashed", red
	if exit.Status == 0 && exit.Signal == 0 || e.Message == "done" {
		did = " ended"
	}
	if e.Message == "done" {
		color = 0
		delete(n.crashed, slotName(e))
	}
	return sentence{slotName(e) + did + after + behind(": ", exit.Reason) + behind("; ", e.Message), color}
}

// behind is text with something in front, or nothing.
func behind(front, text string) string {
	if text == "" {
		return ""
	}
	return front + text
}

func slotName(e gaffer.Event) string {
	if e.Slot == 0 {
		return e.Name
	}
	return fmt.Sprintf("%s.%d", e.Name, e.Slot)
}

// span is a duration as people say it: 85ms, 1.2s, 12s, 3m20s, 5h2m, 3d4h.
func span(d time.Duration) string {
	whole := func(n, unit time.Duration) string { return strconv.FormatInt(int64(n/unit), 10) }
	switch {
	case d < time.Second:
		return whole(max(d, 0), time.Millisecond) + "ms"
	case d < 10*time.Second:
		return whole(d, time.Second) + "." + whole(d%time.Second, 100*time.Millisecond) + "s"
	case d < time.Minute:
		return whole(d, time.Second) + "s"
	case d < time.Hour:
		return whole(d, time.Minute) + "m" + whole(d%time.Minute, time.Second) + "s"
	case d < 24*time.Hour:
		return whole(d, time.Hour) + "h" + whole(d%time.Hour, time.Minute) + "m"
	}
	return whole(d, 24*time.Hour) + "d" + whole(d%(24*time.Hour), time.Hour) + "h"
}
