package gaffer

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/gafferpm/gaffer/internal/proc"
)

// stored is a descriptor that a process has given to keep (FDSTORE of sd_notify), for the
// process that follows it in its slot.
type stored struct {
	name string
	file *os.File
}

// MaxFDStore is the most that a template may ask for.
const MaxFDStore = 250

// listenPID is the variable that says whom descriptors are meant for.
const listenPID = "LISTEN_PID"

const (
	storedName     = "stored" // of a descriptor without one
	mostStoredName = 255
)

func (t *Template) validateFDStore(f *faults) {
	if t.FDStore < 0 || t.FDStore > MaxFDStore {
		f.add("fdstore", "%d: want 0 to %d", t.FDStore, MaxFDStore)
	}
	if t.FDStore > 0 && t.readyFD() != 0 {
		f.add("ready.fd", "with fdstore nobody knows which descriptors are free; want ready.notify")
	}
	if t.FDStore > 0 && t.Detach {
		f.add("detach", "a detached program is not heard: leave out fdstore")
	}
}

// keepFiles does with descriptors that came with a message what it says: those that are
// to be kept are, the others are closed.
func (s *slot) keepFiles(files []*os.File, vars map[string]string, most int) {
	name := vars["FDNAME"]
	if name == "" || len(name) > mostStoredName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == ':' || r > '~' }) {
		name = storedName
	}
	if vars["FDSTOREREMOVE"] == "1" {
		s.stored = slices.DeleteFunc(s.stored, func(f stored) bool {
			if f.name == name {
				_ = f.file.Close()
			}
			return f.name == name
		})
	}
	for _, f := range files {
		if vars["FDSTORE"] != "1" || len(s.stored) >= most {
			_ = f.Close()
			continue
		}
		s.stored = append(s.stored, stored{name, f})
	}
}

// releaseFiles closes what was kept for a slot.
func (s *slot) releaseFiles() {
	for _, f := range s.stored {
		_ = f.file.Close()
	}
	s.stored = nil
}

// release closes what was kept for slots that nobody fills any more.
func (k *keeper) release() {
	if !k.storing {
		return
	}
	k.storing = false
	for i, s := range k.slots {
		if len(s.stored) > 0 && (i >= k.size() && len(s.processes()) == 0 || k.recipe.FDStore == 0) {
			s.releaseFiles()
		}
		k.storing = k.storing || len(s.stored) > 0
	}
}

// withStored passes on what was kept, behind the sockets. The files are its own.
func (r *recipe) withStored(spec *proc.Spec, kept []stored) {
	if len(kept) == 0 {
		return
	}
	names, files := r.socketNames(), make([]*os.File, len(kept))
	for i, f := range kept {
		names, files[i] = append(names, f.name), f.file
	}
	spec.Files = slices.Insert(slices.Clone(spec.Files), len(r.Sockets), files...)
	spec.Env = slices.DeleteFunc(slices.Clone(spec.Env), func(entry string) bool {
		return strings.HasPrefix(entry, "LISTEN_FDS=") || strings.HasPrefix(entry, "LISTEN_FDNAMES=")
	})
	spec.Env = append(spec.Env, "LISTEN_FDS="+strconv.Itoa(len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	spec.OwnPID = listenPID
}

// duplicates are copies of what is kept for a slot, for a process that is about to be
// started: what is kept may be given up meanwhile.
func (s *slot) duplicates() []stored {
	var list []stored
	for _, f := range s.stored {
		if file, err := proc.Duplicate(f.file); err == nil {
			list = append(list, stored{f.name, file})
		}
	}
	return list
}

// closeStored closes the copies for a start that is over.
func (p *process) closeStored() {
	for _, f := range p.stored {
		_ = f.file.Close()
	}
	p.stored = nil
}
