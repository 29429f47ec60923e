package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLogLinesAreForPeople(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(&lineHandler{out: &lockedWriter{w: &out}, level: slog.LevelInfo})
	log.Debug("nobody sees this")
	log.With("socket", "/run/x y").WithGroup("g").Warn("two\nlines \x1b[31m", "n", 3, "empty", "", slog.Group("h", "error", errors.New(`a "b"`)))
	got := out.String()
	if _, err := time.Parse(time.DateTime, got[:len(time.DateTime)]); err != nil {
		t.Errorf("no time in front: %v", err)
	}
	want := ` WARN  two lines �[31m socket="/run/x y" g.n=3 g.empty="" g.h.error="a \"b\""` + "\n"
	if got[len(time.DateTime):] != want {
		t.Errorf("got  %q\nwant %q", got[len(time.DateTime):], want)
	}
}

func TestAJournalIsToldTheLevel(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(&lineHandler{out: &lockedWriter{w: &out}, level: slog.LevelDebug, journal: true})
	log.Debug("d")
	log.Info("i")
	log.Warn("w")
	log.Error("e")
	if got := out.String(); got != "<7>d\n<6>i\n<4>w\n<3>e\n" {
		t.Errorf("got %q", got)
	}
}

func TestALogThatIsTooLargeIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, size := range []int{0, 10, largestLog + 1} {
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("new"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kept := strings.Count(string(text), "x")
		if aside := size > largestLog; aside != (kept == 0 && size > 0) || !strings.HasSuffix(string(text), "new") {
			t.Errorf("%d bytes: %d are left", size, kept)
		}
	}
	if info, err := os.Stat(path + ".1"); err != nil || info.Size() != largestLog+1 {
		t.Errorf("got %v, %v; want the large one as %s.1", info, err, path)
	}
}
