package gaffer

import "context"

// Wanted is a template and what users want of it.
type Wanted struct {
	Template Template `json:"template"`
	Active   bool     `json:"active"` // it should run
	Count    int      `json:"count"`  // how many should, while it is active
}

// Store keeps what is wanted, so that it outlives the manager.
type Store interface {
	// Keep is called after something that is wanted has changed and before the one
	// who asked for it is answered. Its error is part of the answer: what was
	// asked for is done, but not kept. It may be called at the same time from
	// several goroutines.
	Keep(ctx context.Context, kept []Kept) error
}

// Kept is what a Store is to keep of one template.
type Kept struct {
	Name string
	// Version grows with every change. What comes with a smaller one than was
	// kept under that name is old and to be passed over.
	Version uint64
	// Wanted is nil when the template was removed.
	Wanted *Wanted
}
