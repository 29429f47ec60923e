package state

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gafferpm/gaffer"
)

// begun is a journal, and how to end it.
type begun struct {
	*Journal
	testing.TB
	dir  string
	opts journalOptions
	log  *bytes.Buffer
}

func beginJournal(t testing.TB, opts Options) *begun {
	t.Helper()
	if opts.boot == "" {
		opts.boot = "first"
	}
	b := &begun{TB: t, dir: t.TempDir(), opts: opts.journal(), log: &bytes.Buffer{}}
	b.open()
	t.Cleanup(b.kill)
	return b
}

func (b *begun) open() {
	b.Helper()
	var err error
	b.Journal, err = openJournal(b.dir, b.opts, slog.New(slog.NewTextHandler(b.log, nil)))
	if err != nil {
		b.Fatal(err)
	}
}

// kill ends the journal as a kill -9 does: nothing is written any more.
func (b *begun) kill() {
	if b.Journal == nil {
		return
	}
	close(b.quit)
	<-b.ended
	if err := b.closeFiles(); err != nil {
		b.TB.Error(err)
	}
	b.Journal = nil
}

// end ends the journal properly.
func (b *begun) end() {
	b.Helper()
	if err := b.close(); err != nil {
		b.Fatal(err)
	}
	b.Journal = nil
}

// events makes events with the numbers from first to last.
func events(first, last uint64) []gaffer.Event {
	var list []gaffer.Event
	for n := first; n <= last; n++ {
		list = append(list, gaffer.Event{
			Seq: n, Time: time.Unix(int64(n), 0).UTC(), Kind: gaffer.KindSpawn, Name: "jobs:mail", Group: "jobs",
			ID: n, Slot: 1, PID: 4711, Message: fmt.Sprintf("event %d\nof many", n),
		})
	}
	return list
}

func (b *begun) write(first, last uint64) {
	b.Helper()
	if err := b.Append(events(first, last)); err != nil {
		b.Fatal(err)
	}
}

// holds checks that exactly these events are there, read with several limits.
func (b *begun) holds(first, last uint64) {
	b.Helper()
	want := events(first, last)
	for _, limit := range []int{1 << 20, 7} {
		var got []gaffer.Event
		for after := uint64(0); ; {
			list, err := b.Read(after, limit)
			if err != nil {
				b.Fatal(err)
			}
			if len(list) == 0 {
				break
			}
			got, after = append(got, list...), list[len(list)-1].Seq
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.Fatalf("events read by %d (-want +got):\n%s", limit, diff)
		}
	}
}

// numbersAre checks the last numbers.
func (b *begun) numbersAre(wantSeq, wantID uint64) {
	b.Helper()
	if seq, id := b.Last(); seq != wantSeq || id != wantID {
		b.Errorf("the last numbers are %d and %d, want %d and %d", seq, id, wantSeq, wantID)
	}
}

func (b *begun) files() []string {
	b.Helper()
	list, err := filepath.Glob(filepath.Join(b.dir, "events", "*"))
	if err != nil {
		b.Fatal(err)
	}
	return list
}

func TestJournalGivesBackWhatItWasGiven(t *testing.T) {
	j := beginJournal(t, Options{})
	j.numbersAre(0, 0)
	j.holds(1, 0)
	j.write(1, 1)
	j.write(2, 1500)
	j.holds(1, 1500)
	for _, after := range []uint64{0, 1, 2, 1234, 1498, 1499, 1500, 1501, 1 << 60} {
		list, err := j.Read(after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if want := events(after+1, min(after+2, 1500)); !cmp.Equal(want, list) && len(list)+len(want) > 0 {
			t.Errorf("after %d: %v", after, list)
		}
	}
	j.end()
	j.open()
	j.numbersAre(1500, 1500)
	j.holds(1, 1500)
	j.write(1501, 1502)
	j.holds(1, 1502)
}

func TestJournalIsBounded(t *testing.T) {
	const size = 10_000
	j := beginJournal(t, Options{JournalSegments: 3, JournalSegmentBytes: size})
	for n := uint64(1); n <= 2000; n += 20 {
		j.write(n, n+19)
	}
	if n := len(j.files()); n != 3 {
		t.Errorf("%d segments, want 3", n)
	}
	for _, f := range j.files() {
		if info, err := os.Stat(f); err != nil || info.Size() > size {
			t.Errorf("%s: %d bytes, want at most %d (%v)", f, info.Size(), size, err)
		}
	}
	list, err := j.Read(0, 1)
	if err != nil || len(list) != 1 || list[0].Seq < 1800 {
		t.Fatalf("the oldest is %v (%v)", list, err)
	}
	j.holds(list[0].Seq, 2000)
	// An event that is longer than a segment has one of its own.
	long := events(2001, 2001)
	long[0].Message = strings.Repeat("x", 3*size)
	if err := j.Append(append(long, events(2002, 2002)...)); err != nil {
		t.Fatal(err)
	}
	if list, err = j.Read(2000, 9); err != nil || len(list) != 2 || !cmp.Equal(list[0], long[0]) {
		t.Errorf("%d events after the long one (%v)", len(list), err)
	}
	j.kill()
	j.open()
	j.numbersAre(2002, 2002+idSlack)
	if list, err = j.Read(1999, 9); err != nil || len(list) != 3 {
		t.Errorf("%d events after it was opened again (%v)", len(list), err)
	}
}

func TestIdsAreKnownBeyondTheJournal(t *testing.T) {
	j := beginJournal(t, Options{JournalSegments: 2, JournalSegmentBytes: 1000})
	j.write(1, 100)
	for n := uint64(101); n < 200; n++ { // the events with ids are pushed out
		e := events(n, n)
		e[0].ID = 0
		if err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	j.kill()
	j.open()
	j.numbersAre(199, 100+idSlack)
}

// One that is killed before anything of what it has started is kept is followed by one
// that gives out other ids, however often that happens.
func TestIdsOfWhichNothingIsKeptAreNotGivenOutAgain(t *testing.T) {
	j := beginJournal(t, Options{})
	j.write(1, 10)
	for n := uint64(1); n < 30; n++ {
		j.kill()
		j.open()
		j.numbersAre(10, 10+n*idSlack)
	}
	j.write(11, 11) // with an id below
	j.kill()
	j.open()
	j.numbersAre(11, 10+30*idSlack)
}

func TestKillLosesNothing(t *testing.T) {
	j := beginJournal(t, Options{})
	j.write(1, 10)
	j.kill()
	j.open()
	j.holds(1, 10)
	j.numbersAre(10, 10+idSlack)
	j.write(11, 11)
	j.holds(1, 11)
}

func TestPowerFailureRepeatsNoNumber(t *testing.T) {
	for _, lost := range []string{"nothing", "half", "everything", "the end is zeros", "the directory"} {
		t.Run(lost, func(t *testing.T) {
			j := beginJournal(t, Options{})
			j.write(1, 100)
			j.write(seqStep+101, seqStep+110) // beyond the first ceiling
			files := j.files()
			j.kill()
			last := files[len(files)-1]
			info, err := os.Stat(last)
			if err != nil {
				t.Fatal(err)
			}
			switch lost {
			case "half":
				err = os.Truncate(last, info.Size()/2)
			case "everything":
				err = os.Truncate(last, 0)
			case "the end is zeros":
				if err = os.Truncate(last, info.Size()/2); err == nil {
					err = os.Truncate(last, info.Size())
				}
			case "the directory":
				err = os.RemoveAll(filepath.Dir(last))
			}
			if err != nil {
				t.Fatal(err)
			}
			j.opts.boot = "second"
			j.open()
			seq, id := j.Last()
			if seq < seqStep+110 || id < seqStep+110+idSlack {
				t.Errorf("goes on after %d and %d, which were given out", seq, id)
			}
			if seq > 3*seqStep || id > 3*seqStep {
				t.Errorf("goes on after %d and %d, which is far away", seq, id)
			}
			if !strings.Contains(j.log.String(), "gap") {
				t.Errorf("nothing is said of the gap: %s", j.log)
			}
			j.write(seq+1, seq+2)
			j.end()
			j.open()
			j.numbersAre(seq+2, max(id, seq+2))
			list, err := j.Read(seq, 9)
			if err != nil || !cmp.Equal(list, events(seq+1, seq+2)) {
				t.Errorf("%v (%v)", list, err)
			}
		})
	}
}

func TestATornWriteIsCutOffWhereverItEnds(t *testing.T) {
	j := beginJournal(t, Options{})
	j.write(1, 3)
	last := j.files()[0]
	before, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	j.write(4, 4)
	whole, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(before); cut < len(whole); cut++ {
		j.kill()
		if err := os.WriteFile(last, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j.open()
		j.holds(1, 3)
		if seq, _ := j.Last(); seq != 3 {
			t.Fatalf("cut at %d: the last number is %d, want 3", cut, seq)
		}
		j.write(4, 5)
		j.holds(1, 5)
	}
}

func TestADamagedLineSpoilsNoOther(t *testing.T) {
	j := beginJournal(t, Options{})
	j.write(1, 9)
	path := j.files()[0]
	j.end()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(text); i += 5 { // lines differ in length, so that this meets all there is in one
		spoilt := bytes.Clone(text)
		spoilt[i] ^= 0x15
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		j.open()
		list, err := j.Read(0, 99)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) < 7 { // a line break that is gone takes two lines with it
			t.Fatalf("byte %d: %d events are left", i, len(list))
		}
		for _, e := range list {
			if !cmp.Equal(e, events(e.Seq, e.Seq)[0]) {
				t.Fatalf("byte %d: %v", i, e)
			}
		}
		if seq, _ := j.Last(); seq != 9 {
			t.Fatalf("byte %d: the last number is %d", i, seq)
		}
		j.end()
	}
}

func TestAFullDiskLeavesAHoleInTheNumbers(t *testing.T) {
	full := false
	j := beginJournal(t, Options{writeJournal: func(f *os.File, b []byte, at int64) (int, error) {
		if !full {
			return f.WriteAt(b, at)
		}
		n, err := f.WriteAt(b[:len(b)/2], at)
		if err != nil {
			return n, err
		}
		return n, syscall.ENOSPC
	}})
	j.write(1, 5)
	full = true
	for range 2 {
		seq, _ := j.Last()
		if err := j.Append(events(seq+1, seq+2)); err == nil || !strings.Contains(err.Error(), "no space") {
			t.Fatalf("error %v", err)
		}
	}
	j.holds(1, 5)
	// Killed now, the journal does not tell of the events that were lost.
	j.kill()
	full = false
	j.open()
	seq, id := j.Last()
	if seq < 9 || id < 9 {
		t.Errorf("goes on after %d and %d, which were given out", seq, id)
	}
	j.write(seq+1, seq+1)
	full = true
	if err := j.Append(events(seq+2, seq+2)); err == nil {
		t.Error("no error")
	}
	full = false
	j.write(seq+3, seq+3)
	list, err := j.Read(5, 9)
	if err != nil || len(list) != 2 || list[0].Seq != seq+1 || list[1].Seq != seq+3 {
		t.Errorf("%v (%v)", list, err)
	}
	j.kill()
	j.open()
	j.numbersAre(seq+3, max(id, seq+3)+idSlack)
}

func TestTheCeilingSurvivesATornWrite(t *testing.T) {
	j := beginJournal(t, Options{})
	j.write(1, 5)
	path := filepath.Join(j.dir, "numbers")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	j.end() // writes one place
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	place := 0
	if bytes.Equal(before[:placeLen], after[:placeLen]) {
		place = placeLen
	}
	for cut := 0; cut < placeLen; cut += 3 {
		torn := bytes.Clone(before)
		copy(torn[place:], after[place:place+cut])
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		j.open()
		if seq, id := j.Last(); seq != 5 || id < 5 {
			t.Fatalf("cut at %d: goes on after %d and %d", cut, seq, id)
		}
		j.kill()
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte{'?'}, 2*placeLen), 0o600); err != nil {
		t.Fatal(err)
	}
	j.open()
	seq, _ := j.Last()
	if seq < seqStep || !strings.Contains(j.log.String(), "damaged") {
		t.Errorf("goes on after %d and says %s", seq, j.log)
	}
	j.write(seq+1, seq+1)
	j.kill()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	j.open()
	if again, _ := j.Last(); again <= seq {
		t.Errorf("without a file of the numbers it goes on after %d, which was given out", again)
	}
}

func TestReadersAndTheWriterGetAlong(t *testing.T) {
	j := beginJournal(t, Options{JournalSegments: 3, JournalSegmentBytes: 20_000})
	const all = 3000
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for after := uint64(0); after < all; {
				list, err := j.Read(after, 50)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range list {
					if e.Seq <= after || !cmp.Equal(e, events(e.Seq, e.Seq)[0]) {
						t.Errorf("after %d: %v", after, e)
						return
					}
					after = e.Seq
				}
			}
		})
	}
	for n := uint64(1); n < all; n += 10 {
		j.write(n, n+9)
	}
	readers.Wait()
}

func TestNumbersThatDoNotFollowAreRefused(t *testing.T) {
	j := beginJournal(t, Options{})
	j.write(1, 5)
	if err := j.Append(events(5, 6)); err == nil {
		t.Error("5 again: no error")
	}
	old := j.Journal
	j.end()
	if err := old.Append(events(9, 9)); err == nil {
		t.Error("after its end: no error")
	}
}

func TestParseLineReadsWhatAppendLineWrites(t *testing.T) {
	for _, e := range slices.Concat(events(1, 3), []gaffer.Event{{
		Seq: 1 << 63, ID: 1<<64 - 1, Kind: gaffer.KindExit, Name: "web", Time: time.Unix(1, 5).UTC(),
		Exit: &gaffer.Exit{Status: -1, Signal: gaffer.Signal(syscall.SIGKILL), Reason: "\x00\n\u2028"},
	}}) {
		text, err := appendLine(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		l, err := parseLine(bytes.TrimSuffix(text, []byte{'\n'}))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, err := l.event()
		if err != nil || !cmp.Equal(e, got) || l.seq != e.Seq || l.id != e.ID {
			t.Errorf("%v (%v), want %v", got, err, e)
		}
	}
}

func FuzzSegment(f *testing.F) {
	text, err := appendLine(nil, &events(1, 1)[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(append(bytes.Clone(text), text...))
	f.Add([]byte("00000000 1 1 {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		found := scan(text)
		if found.size > int64(len(text)) {
			t.Fatalf("%d bytes of %d", found.size, len(text))
		}
		seen := map[uint64]bool{}
		if err := lines(bytes.NewReader(text), 0, int64(len(text)), func(l line) bool { seen[l.seq] = true; return true }); err != nil {
			t.Fatal(err)
		}
		if found.seq > 0 && !seen[found.seq] {
			t.Errorf("%d was found and not read: %v", found.seq, slices.Sorted(maps.Keys(seen)))
		}
	})
}

func FuzzCeiling(f *testing.F) {
	text, err := formatCeiling(ceiling{Write: 3, Boot: "boot", Seq: 5, ID: 6})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCeiling(text)
		if err != nil {
			return
		}
		again, err := formatCeiling(c)
		if err != nil {
			return // longer than it was
		}
		if back, err := parseCeiling(again); err != nil || back != c {
			t.Errorf("%v, was %v (%v)", back, c, err)
		}
	})
}

func BenchmarkJournalAppend(b *testing.B) {
	j := beginJournal(b, Options{})
	batch := events(1, 1)
	b.ReportAllocs()
	for n := uint64(1); b.Loop(); n++ {
		batch[0].Seq = n
		if err := j.Append(batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJournalRead(b *testing.B) {
	j := beginJournal(b, Options{})
	j.write(1, 20_000)
	for _, limit := range []int{1, 256} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) {
			b.ReportAllocs()
			for n := uint64(0); b.Loop(); n = (n + 7919) % 19_000 {
				if list, err := j.Read(n, limit); err != nil || len(list) != limit {
					b.Fatal(len(list), err)
				}
			}
		})
	}
}
