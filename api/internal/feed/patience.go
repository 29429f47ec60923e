package feed

import (
	"context"
	"errors"
	"time"
)

// patience is a context that ends after a time, made to be used again and again:
// one of its own for each value would be a tenth of what a stream costs. It may
// end too soon once in a while, which its user has to bear. It belongs to one
// goroutine.
type patience struct {
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer
}

// within returns a context that ends after d, or with its parent, which must
// always be the same.
func (p *patience) within(parent context.Context, d time.Duration) context.Context {
	if p.ctx != nil && p.ctx.Err() == nil {
		p.timer.Reset(d)
		return p.ctx
	}
	p.end()
	p.ctx, p.cancel = context.WithCancel(parent)
	p.timer = time.AfterFunc(d, p.cancel)
	return p.ctx
}

// pause stops the clock until the context is used again.
func (p *patience) pause() { p.timer.Stop() }

// lost says whether an error means no more than that the time was over.
func (p *patience) lost(parent context.Context, err error) bool {
	return err != nil && p.ctx.Err() != nil && parent.Err() == nil && errors.Is(err, context.Canceled)
}

func (p *patience) end() {
	if p.ctx != nil {
		p.timer.Stop()
		p.cancel()
	}
}
