package proc

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const statTail = " 0 0 0 0 123 45 0 0 20 -5 7 0 98765 104857600 321 18446744073709551615 1 1 0 0 0 0\n"

func TestStatIsParsedWhateverTheName(t *testing.T) {
	for _, name := range []string{"sh", "", "a b", ")", "(", ") S 1 (", "a) R 9 9 9", "\n\x00\xff", "sixteen letters!"} {
		var s stat
		line := "4711 (" + name + ") S 12 4711 4711 0 -1 4194304" + statTail
		if !parseStat([]byte(line), &s) {
			t.Errorf("%q: not parsed", line)
			continue
		}
		want := stat{pid: 4711, ppid: 12, state: 'S', ticks: 168, nice: -5, threads: 7, start: 98765, vms: 104857600, pages: 321}
		copy(want.comm[:], name)
		if s != want {
			t.Errorf("%q:\ngot  %+v\nwant %+v", line, s, want)
		}
	}
}

func TestStatThatIsWrongIsRefused(t *testing.T) {
	good := "4711 (sh) S 12 4711 4711 0 -1 4194304" + statTail
	if !parseStat([]byte(good), new(stat)) {
		t.Fatalf("%q: not parsed", good)
	}
	bad := map[string]string{
		"empty":            "",
		"no name":          "4711 S 12 4711",
		"only a name":      "(sh)",
		"parentheses":      "4711 )sh( S 12" + statTail,
		"nothing after it": "4711 (sh)",
		"cut off":          good[:strings.Index(good, "104857600")],
		"pid 0":            strings.Replace(good, "4711", "0", 1),
		"negative pid":     strings.Replace(good, "4711", "-1", 1),
		"large pid":        strings.Replace(good, "4711", "99999999999", 1),
		"letters":          strings.Replace(good, "98765", "9x765", 1),
		"negative start":   strings.Replace(good, "98765", "-98765", 1),
		"too many digits":  strings.Replace(good, "98765", "9876500000000000000000", 1),
		"no state":         strings.Replace(good, ") S ", ") ", 1),
		"a long state":     strings.Replace(good, ") S ", ") SS ", 1),
		"a strange state":  strings.Replace(good, ") S ", ") 0 ", 1),
		"two spaces":       strings.Replace(good, ") S 12", ") S  12", 1),
	}
	for name, line := range bad {
		if parseStat([]byte(line), new(stat)) {
			t.Errorf("%s: %q was parsed", name, line)
		}
	}
}

// Whatever is parsed says the same when it is written down and parsed again.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte("4711 (sh) S 12 4711 4711 0 -1 4194304" + statTail))
	f.Add([]byte("1 () ( a) R 0 0 0 0 0 0" + statTail))
	f.Add([]byte("1 ("))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		var s, again stat
		if !parseStat(data, &s) {
			return
		}
		if !bytes.Equal(before, data) {
			t.Fatal("the text was changed")
		}
		if s.pid < 1 || s.ppid < 0 || s.threads < 0 {
			t.Fatalf("impossible: %+v", s)
		}
		line := fmt.Appendf(nil, "%d (%s) %c %d 0 0 0 0 0 0 0 0 0 %d %d 0 0 20 %d %d 0 %d %d %d 0",
			s.pid, bytes.TrimRight(s.comm[:], "\x00"), s.state, s.ppid, s.ticks/2, s.ticks-s.ticks/2, s.nice, s.threads, s.start, s.vms, s.pages)
		if !parseStat(line, &again) || s != again {
			t.Fatalf("%q:\ngot  %+v\nwant %+v", line, again, s)
		}
	})
}
