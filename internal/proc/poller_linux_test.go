package proc

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestEventOfADroppedDescriptorHitsNobody(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	first := new(child)
	i, err := p.watch(first, fd, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	event := unix.EpollEvent{Fd: int32(i), Pad: int32(p.at(i).gen)}
	if s, ok := p.find(&event); !ok || s.child != first {
		t.Fatalf("found %+v, %v", s, ok)
	}
	p.drop(i)
	if s, ok := p.find(&event); ok {
		t.Errorf("after the drop: found %+v", s)
	}
	again, err := p.watch(new(child), fd, Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if again != i {
		t.Fatalf("slot %d, want %d to be used again", again, i)
	}
	if s, ok := p.find(&event); ok {
		t.Errorf("after the next owner came: found %+v", s)
	}
	p.drop(again)
}

func TestPostedFunctionsAreCalledInOrder(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	const many = 1000
	got := make(chan int, many)
	for i := range many {
		p.post(func() { got <- i })
	}
	for i := range many {
		if n := <-got; n != i {
			t.Fatalf("function %d was called, want %d", n, i)
		}
	}
	p.close()
	p.post(func() { t.Error("called after the close") })
}
