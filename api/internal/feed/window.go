package feed

import (
	"context"
	"sync"
)

// window is how many bytes may be on their way to somebody who says how many were taken.
type window struct {
	mu    sync.Mutex    // guards the rest
	left  int           // that may be sent
	grown chan struct{} // closed when there are some again; nil: nobody waits
}

// take waits until something may be sent, and takes up to so many bytes of that.
func (w *window) take(ctx context.Context, most int) (int, error) {
	for {
		w.mu.Lock()
		if n := min(w.left, most); n > 0 {
			w.left -= n
			w.mu.Unlock()
			return n, nil
		}
		if w.grown == nil {
			w.grown = make(chan struct{})
		}
		grown := w.grown
		w.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// give says that so many bytes were taken. It is false if there can't have been so many.
func (w *window) give(n, size int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > size-w.left {
		return false
	}
	w.left += n
	if w.grown != nil {
		close(w.grown)
		w.grown = nil
	}
	return true
}
