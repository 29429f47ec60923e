package gaffer

import "context"

// App is something that is started with a manager and stopped after its
// processes, so that it sees the end: a server, a console, whatever watches and
// acts. It must not block the manager; it asks it like everybody else does.
type App interface {
	// Start is called once the manager runs, in the order given to Run. An error
	// ends Run.
	Start(ctx context.Context, m *Manager) error
	// Restart is called when everything is restarted.
	Restart(ctx context.Context) error
	// Stop is called after all processes have ended, in the reverse order.
	Stop(ctx context.Context) error
}

// AppFunc makes an App of a function that runs until its context ends. It is
// started in a goroutine of its own; a restart ends it and calls it again.
func AppFunc(run func(ctx context.Context, m *Manager) error) App { return &appFunc{run: run} }

type appFunc struct {
	run    func(context.Context, *Manager) error
	m      *Manager
	cancel context.CancelFunc
	done   chan error
}

func (a *appFunc) Start(_ context.Context, m *Manager) error {
	ctx, cancel := context.WithCancel(context.Background())
	a.m, a.cancel, a.done = m, cancel, make(chan error, 1)
	go func() { a.done <- a.run(ctx, m) }()
	return nil
}

func (a *appFunc) Restart(ctx context.Context) error {
	if err := a.Stop(ctx); err != nil {
		return err
	}
	return a.Start(ctx, a.m)
}

func (a *appFunc) Stop(ctx context.Context) error {
	a.cancel()
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
