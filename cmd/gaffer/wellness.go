package main

import (
	"context"
	"time"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/console"
)

// A process that has lived for so long is taken to run: what is wrong with a
// program or its settings mostly shows at once. What does not come to rest is
// looked at for settleLimit at most.
const (
	settleTime  = 500 * time.Millisecond
	settleLimit = 5 * time.Second
)

// wellness is the exit status of a plan that was applied: whether it was, and how
// what it has created and changed is then.
func wellness(ctx context.Context, c gaffer.Controller, plan gaffer.Plan) error {
	touched := map[string]bool{}
	for _, s := range plan.Steps {
		if s.Error != "" {
			return statusError(exitError)
		}
		if s.Op == gaffer.OpCreate || s.Op == gaffer.OpUpdate {
			touched[s.Name] = true
		}
	}
	wanted, err := settledStatuses(ctx, c, touched)
	if err != nil {
		return err
	}
	for _, st := range wanted {
		if st.MaxProcesses > 0 && truth(st) != exitOK {
			note("%s", console.Clean(st.Name+" is "+inWords(st)+behind(": ", st.Reason)))
		}
	}
	return verdict(wanted)
}

// settledStatuses are how templates are, when it is clear, of those that should run.
func settledStatuses(ctx context.Context, c gaffer.Controller, names map[string]bool) ([]gaffer.Status, error) {
	limit := time.Now().Add(settleLimit)
	for {
		infos, err := c.List(ctx, gaffer.All)
		if err != nil || len(names) == 0 {
			return nil, err
		}
		var wanted []gaffer.Status
		var again time.Duration // when it may be clear
		for _, info := range infos {
			st := info.Status
			if !names[st.Name] || info.Template.Detach || st.Active != "active" && st.State != gaffer.Failed {
				continue
			}
			wanted = append(wanted, st)
			again = max(again, unsettled(st))
		}
		if again == 0 || time.Now().After(limit) {
			return wanted, nil
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// unsettled is for how long a template has to be left before it can be told how it
// is: 0 when it runs, or when it is clear that it does not.
func unsettled(st gaffer.Status) time.Duration {
	switch st.State {
	case gaffer.Starting, gaffer.Stopping:
		return settleTime / 10
	case gaffer.Running:
	default:
		return 0
	}
	var most time.Duration
	for _, p := range st.Processes {
		if p.State == gaffer.Running {
			most = max(most, settleTime-time.Since(p.Since))
		}
	}
	return most
}
