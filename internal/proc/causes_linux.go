package proc

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Listening finds who listens on a TCP port, on any address.
func Listening(port int) (Listener, bool) {
	var inodes []string
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		inodes = append(inodes, listeningInodes(table, port)...)
	}
	if len(inodes) == 0 {
		return Listener{}, false
	}
	dirs, err := filepath.Glob("/proc/[0-9]*/fd")
	if err != nil {
		return Listener{}, true
	}
	for _, dir := range dirs {
		if !holdsSocket(dir, inodes) {
			continue
		}
		process := filepath.Dir(dir)
		l := Listener{}
		l.PID, _ = strconv.Atoi(filepath.Base(process)) // the glob saw digits only
		if comm, err := os.ReadFile(filepath.Join(process, "comm")); err == nil {
			l.Command = strings.TrimSpace(string(comm))
		}
		return l, true
	}
	return Listener{}, true
}

// listeningInodes are the sockets of a table of the kernel's that listen on a
// port. Its lines have the local address as HEX:PORT in the second column, the
// state in the fourth and the inode in the tenth.
func listeningInodes(table string, port int) (inodes []string) {
	f, err := os.Open(table)
	if err != nil {
		return nil // no such protocol here
	}
	defer f.Close()
	const listen = "0A"
	want := ":" + strings.ToUpper(strconv.FormatInt(1<<16|int64(port), 16)[1:])
	for lines := bufio.NewScanner(f); lines.Scan(); {
		columns := strings.Fields(lines.Text())
		if len(columns) > 9 && columns[3] == listen && strings.HasSuffix(columns[1], want) {
			inodes = append(inodes, columns[9])
		}
	}
	return inodes
}

// holdsSocket says whether one of the descriptors in a directory of /proc is one
// of those sockets.
func holdsSocket(dir string, inodes []string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false // it has ended, or is not ours to look at
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return false
	}
	for _, name := range names {
		link, err := os.Readlink(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		inode, socket := strings.CutPrefix(link, "socket:[")
		if socket && slices.Contains(inodes, strings.TrimSuffix(inode, "]")) {
			return true
		}
	}
	return false
}

// OOMKills is how many processes the kernel has killed since it was booted because
// memory was short. It is false where that is not told.
func OOMKills() (n uint64, ok bool) {
	text, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		if number, found := bytes.CutPrefix(line, []byte("oom_kill ")); found {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(number)), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
