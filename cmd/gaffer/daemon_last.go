package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/state"
)

// lastRun is what is kept of the latest daemon of a state directory, so that the
// next one knows whether it ended properly and finds what it has left.
type lastRun struct {
	// Instance marks all that daemons of this state directory start. A copy of the
	// directory has another: its daemon must not end what this one's runs.
	Instance string `json:"instance"`
	Inode    uint64 `json:"inode"` // of the directory that Instance was made for
	Boot     string `json:"boot"`  // of the system
	Seq      uint64 `json:"seq"`   // of the latest event before it
	Ended    bool   `json:"ended"` // properly
}

const (
	runBucket = "daemon"
	runKey    = "run"
)

func readLastRun(st *state.State, dir string) (lastRun, error) {
	var r lastRun
	text, err := st.Bucket(runBucket).Get(runKey)
	switch {
	case err == nil:
		err = json.Unmarshal(text, &r)
	case errors.Is(err, gaffer.ErrNotFound):
		err = nil
	}
	if err != nil {
		return r, fmt.Errorf("state directory %s: last run: %w", dir, err)
	}
	inode, err := inodeOf(dir)
	if err != nil {
		return r, err
	}
	if r.Instance == "" || r.Inode != inode {
		r = lastRun{Instance: rand.Text()[:12], Inode: inode, Ended: true}
	}
	return r, nil
}

// unfinished says that processes of that daemon may still be there.
func (r *lastRun) unfinished() bool { return !r.Ended && r.Boot == bootID() }

// begin keeps that a daemon runs.
func (r *lastRun) begin(st *state.State) error {
	r.Seq, _ = st.Journal().Last()
	r.Boot, r.Ended = bootID(), false
	return r.keep(st)
}

// finish keeps that it has ended, and left nothing.
func (r *lastRun) finish(st *state.State) error {
	r.Ended = true
	return r.keep(st)
}

func (r *lastRun) keep(st *state.State) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return st.Bucket(runBucket).Put(runKey, text)
}

// bootID changes with every start of the system; "" where that can't be known.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func inodeOf(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, nil
	}
	return stat.Ino, nil
}
