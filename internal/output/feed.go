package output

// feed is what leads from one Log to one Follower. Its methods are called with
// the log's lock held, and take the follower's.
type feed[S comparable] struct {
	log      *Log[S]
	follower *Follower[S]
	want     func(stream int) bool // nil: all streams

	index int    // in follower.feeds; guarded by follower.mu
	lines []line // by stream, as they come up; guarded by follower.mu
}

func (fd *feed[S]) wants(stream int) bool { return fd.want == nil || fd.want(stream) }

// live passes on what the process writes.
func (fd *feed[S]) live(stream int, data []byte, at int64) {
	f := fd.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == open {
		f.add(fd, stream, data, at)
		f.notify()
	}
}

// attach passes on the backlog and, if the process goes on, makes the follower
// know the feed. It reports false if the follower has ended.
func (fd *feed[S]) attach(backlog int, goesOn bool) bool {
	f := fd.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != open {
		return false
	}
	fd.backlog(backlog)
	if goesOn {
		fd.index = len(f.feeds)
		f.feeds = append(f.feeds, fd)
	} else {
		f.flush(fd)
	}
	f.notify()
	return true
}

// detach lets the follower have what is held, and forget the feed.
func (fd *feed[S]) detach() {
	f := fd.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != open {
		return // it has forgotten its feeds already
	}
	f.flush(fd)
	last := len(f.feeds) - 1
	f.feeds[fd.index] = f.feeds[last]
	f.feeds[fd.index].index = fd.index
	f.feeds[last] = nil
	f.feeds = f.feeds[:last]
	f.notify()
}
