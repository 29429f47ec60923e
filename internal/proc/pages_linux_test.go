package proc

import (
	"strings"
	"testing"
)

func TestOnlyPagesThatAreAsInTheFileAreDropped(t *testing.T) {
	const smaps = `00400000-00b2d000 r-xp 00000000 fe:00 1234                       /bin/my gaffer
Rss:                7000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00b2d000-01200000 r--p 0072d000 fe:00 1234                       /bin/my gaffer
Anonymous:             4 kB
01200000-01250000 rw-p 00e00000 fe:00 1234                       /bin/my gaffer
Anonymous:             0 kB
02000000-02001000 r--p 00000000 fe:00 1235                       /bin/not my gaffer
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
`
	got := droppable(strings.NewReader(smaps), "/bin/my gaffer")
	if len(got) != 1 || got[0] != (mapping{0x400000, 0xb2d000}) {
		t.Errorf("got %x", got)
	}
}

func TestAProgramGoesOnWithoutItsPages(t *testing.T) {
	for range 3 {
		DropProgramPages()
		if s := strings.Repeat("x", 100); len(strings.ToUpper(s)) != 100 {
			t.Error("it does not work as before")
		}
	}
}
