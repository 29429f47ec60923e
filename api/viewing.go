package api

import (
	"context"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/api/internal/feed"
)

// viewing is a Controller for viewers: it keeps the values of env to itself.
type viewing struct{ gaffer.Controller }

func (v *viewing) List(ctx context.Context, t gaffer.Target) ([]gaffer.Info, error) {
	list, err := v.Controller.List(ctx, t)
	for i := range list {
		list[i].Template.Env = hidden(list[i].Template.Env)
	}
	return list, err
}

// hidden is the names of env without the values.
func hidden(env map[string]string) map[string]string {
	if env == nil {
		return nil
	}
	names := make(map[string]string, len(env))
	for name := range env {
		names[name] = "***"
	}
	return names
}

// Status is what statusOf looks for.
func (v *viewing) Status(ctx context.Context, t gaffer.Target) ([]gaffer.Status, error) {
	return statusOf(ctx, v.Controller, t)
}

// Usage is what usageOf looks for.
func (v *viewing) Usage(ctx context.Context, t gaffer.Target) ([]gaffer.Use, error) {
	return usageOf(ctx, v.Controller, t)
}

// Latest is what feed.Latest looks for.
func (v *viewing) Latest(ctx context.Context) (uint64, error) { return feed.Latest(ctx, v.Controller) }
