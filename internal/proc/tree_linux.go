package proc

import "golang.org/x/sys/unix"

type tree struct{}
type leaf struct{}
type ending struct{}
type descendant struct{}

func newTree(Options, *direct) (*tree, error)  { return new(tree), nil }
func (t *tree) close()                         {}
func (t *tree) leaf(*Spec) (*leaf, int)        { return nil, -1 }
func (t *tree) started(*leaf, int, int, error) {}
func (e *ending) gone(uint32, int)             {}
func (c *child) rememberBefore(any)            {}
func (t *tree) kill(c *child)                  { _ = c.SignalGroup(unix.SIGKILL) }
func (t *tree) exited(c *child, exit Exit) {
	_ = signalGroup(int(c.pidfd), unix.SIGKILL)
	c.finish(exit)
}
