package gaffertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gafferpm/gaffer"
)

var outputCases = []aCase{
	{"OutputIsLinesWithLabels", outputLines},
	{"OutputOfTheTail", outputTail},
	{"OutputOfLabels", outputLabels},
	{"OutputIsRawWhenAskedFor", outputRaw},
	{"OutputNeedNotBeText", outputBinary},
	{"OutputGoesOnWithReplacedProcesses", outputReplaced},
	{"OutputOfASlot", outputSlot},
	{"OutputComesInOrder", outputOrder},
	{"OutputIsChosen", outputChosen},
	{"OutputThatCantBeAskedFor", outputRefused},
	{"ClosedOutputIsAtItsEnd", outputClosed},
}

func outputLines(b *bench) {
	b.add("jobs:a", `echo err >&2; printf 'out\nno end'; `+sleeps)
	out := b.output("jobs:a", gaffer.OutputOptions{Tail: -1})
	for line, label := range map[string]string{"out": "stdout", "err": "stderr"} {
		out := b.output("jobs:a", gaffer.OutputOptions{Tail: -1})
		o := b.line(out, line)
		if o.Name != "jobs:a" || o.ID != 1 || o.Slot != 1 || o.Label != label || o.Time.IsZero() || o.Partial {
			b.Errorf("output %+v", o)
		}
	}
	b.line(out, "out")
	b.ok(b.c.Stop(b.ctx, "jobs:a"))
	b.line(out, "no end") // a line that never ended is one when its process is gone
}

// quiet waits until a template has written a line, and all before it.
func (b *bench) written(name gaffer.Target, line string) {
	b.Helper()
	b.line(b.output(name, gaffer.OutputOptions{Tail: -1}), line)
}

func outputChosen(b *bench) {
	b.add("web", `echo apple; echo '{"level":"error","n":5}'; echo pear; echo 'apple pie'; `+sleeps)
	b.written("web", "apple pie")
	hour := time.Now().Add(-time.Hour)
	for _, step := range []struct {
		how  gaffer.OutputOptions
		want []string
	}{
		{gaffer.OutputOptions{Tail: -1, Grep: "^apple"}, []string{"apple", "apple pie"}},
		{gaffer.OutputOptions{Tail: 1, Grep: "^apple"}, []string{"apple pie"}},
		{gaffer.OutputOptions{Tail: -1, Text: "e p"}, []string{"apple pie"}},
		{gaffer.OutputOptions{Tail: -1, Fields: []string{"level=error", "n>=5"}}, []string{`{"level":"error","n":5}`}},
		{gaffer.OutputOptions{Tail: -1, Fields: []string{"level=error", "n>5"}}, nil},
		{gaffer.OutputOptions{Tail: 1, Since: hour}, []string{"apple pie"}},
		{gaffer.OutputOptions{Tail: -1, Until: hour}, nil},
		{gaffer.OutputOptions{Tail: -1, Since: time.Now().Add(time.Hour)}, nil},
		{gaffer.OutputOptions{Tail: -1, Grep: "pear", Gone: true}, []string{"pear"}},
	} {
		step.how.NoFollow = true
		if got := texts(rest(b, b.output("web", step.how))); !slices.Equal(got, step.want) {
			b.Errorf("%+v: %q, want %q", step.how, got, step.want)
		}
	}
	for _, how := range []gaffer.OutputOptions{{Grep: "("}, {Fields: []string{"=x"}}, {After: "x"}} {
		_, err := b.c.Output(b.ctx, "web", how)
		b.is(err, gaffer.ErrInvalid)
	}
	if got := rest(b, b.output("none", gaffer.OutputOptions{NoFollow: true, Gone: true})); len(got) != 0 {
		b.Errorf("%q of a template that never was", texts(got))
	}
}

// texts are the data of output.
func texts(list []gaffer.Output) []string {
	var all []string
	for _, o := range list {
		all = append(all, string(o.Data))
	}
	return all
}

func outputTail(b *bench) {
	b.add("web", "echo 1; echo 2; echo 3; echo 4; "+sleeps)
	b.written("web", "4")
	for n, want := range map[int][]string{
		0: nil, 1: {"4"}, 2: {"3", "4"}, 9: {"1", "2", "3", "4"}, -1: {"1", "2", "3", "4"},
	} {
		got := rest(b, b.output("web", gaffer.OutputOptions{Tail: n, NoFollow: true}))
		equal(b, fmt.Sprintf("tail %d", n), texts(got), want)
	}
	b.ok(b.c.Stop(b.ctx, "web"))
	got := rest(b, b.output("web", gaffer.OutputOptions{Tail: 2, NoFollow: true}))
	equal(b, "tail of what has ended", texts(got), []string{"3", "4"})
}

func outputLabels(b *bench) {
	b.add("web", "echo a; echo b >&2; echo c; "+sleeps, func(t *gaffer.Template) {
		t.RedirectOutput = []string{"log", "errors"}
	})
	b.written("web", "c")
	b.written("web", "b")
	for label, want := range map[string][]string{"log": {"a", "c"}, "errors": {"b"}} {
		got := rest(b, b.output("web", gaffer.OutputOptions{Labels: []string{label}, Tail: -1, NoFollow: true}))
		equal(b, label, texts(got), want)
	}
	got := texts(rest(b, b.output("web", gaffer.OutputOptions{Labels: []string{"log", "errors"}, Tail: -1, NoFollow: true})))
	slices.Sort(got)
	equal(b, "both", got, []string{"a", "b", "c"})
}

// allBytes is a file with every byte, and no text.
func (b *bench) allBytes() (file string, data []byte) {
	b.Helper()
	for i := range 256 {
		data = append(data, byte(i), 0xff)
	}
	file = filepath.Join(b.TempDir(), "bytes")
	b.ok(os.WriteFile(file, data, 0o644))
	return file, data
}

func outputRaw(b *bench) {
	file, want := b.allBytes()
	b.add("web", "cat "+file+"; "+sleeps)
	for _, how := range []gaffer.OutputOptions{{Raw: true, Tail: -1}, {Raw: true, Tail: len(want)}} {
		out := b.output("web", how)
		var got []byte
		for len(got) < len(want) {
			o, err := out.Next(b.ctx)
			b.ok(err)
			got = append(got, o.Data...)
		}
		if !bytes.Equal(got, want) {
			b.Errorf("%+v: got %q\nwant %q", how, got, want)
		}
	}
	part := rest(b, b.output("web", gaffer.OutputOptions{Raw: true, Tail: 10, NoFollow: true}))
	if got := bytes.Join(pieces(part), nil); !bytes.Equal(got, want[len(want)-10:]) {
		b.Errorf("a tail of 10 bytes is %q, want %q", got, want[len(want)-10:])
	}
}

func pieces(list []gaffer.Output) [][]byte {
	var all [][]byte
	for _, o := range list {
		all = append(all, o.Data)
	}
	return all
}

func outputBinary(b *bench) {
	file, data := b.allBytes()
	b.add("web", "cat "+file+"; echo; echo end; "+sleeps)
	b.written("web", "end")
	got := pieces(rest(b, b.output("web", gaffer.OutputOptions{Tail: -1, NoFollow: true})))
	want := append(bytes.Split(data, []byte("\n")), []byte("end"))
	if len(got) != len(want) {
		b.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			b.Errorf("line %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func outputReplaced(b *bench) {
	b.add("web", `echo "I am $GAFFER_ID"; `+sleeps)
	b.written("web", "I am 1")
	out := b.output("web", gaffer.OutputOptions{})
	b.ok(b.c.Restart(b.ctx, "web", gaffer.StopFirst))
	if o := b.line(out, "I am 2"); o.ID != 2 {
		b.Errorf("output %+v", o)
	}
	_, err := b.c.Scale(b.ctx, "web", gaffer.Change{Op: '+', N: 1})
	b.ok(err)
	if o := b.line(out, "I am 3"); o.Slot != 2 {
		b.Errorf("output %+v", o)
	}
}

func outputSlot(b *bench) {
	b.add("web", `echo "slot $GAFFER_SLOT"; `+sleeps, numprocesses(3))
	b.written("web", "slot 2")
	got := rest(b, b.output("web.2", gaffer.OutputOptions{Tail: -1, NoFollow: true}))
	equal(b, "slot 2", texts(got), []string{"slot 2"})
}

func outputOrder(b *bench) {
	const lines = 3000
	b.add("web", fmt.Sprintf("read go; i=0; while [ $i -lt %d ]; do i=$((i+1)); echo $i; done; echo end; %s", lines, sleeps), withInput)
	out := b.output("web", gaffer.OutputOptions{})
	b.ok(b.c.Write(b.ctx, "web", "stdin", []byte("go\n")))
	next := 1
	for {
		o, err := out.Next(b.ctx)
		var missed gaffer.Missed
		switch {
		case errors.As(err, &missed):
			next += int(missed)
			continue
		case err != nil:
			b.Fatalf("%v, at line %d", err, next)
		case string(o.Data) == "end" && next == lines+1:
			return
		case string(o.Data) != fmt.Sprint(next):
			b.Fatalf("line %q, want %d", o.Data, next)
		}
		next++
	}
}

func outputRefused(b *bench) {
	_, err := b.c.Output(b.ctx, "web", gaffer.OutputOptions{})
	b.is(err, gaffer.ErrNotFound)
	b.add("web", sleeps)
	_, err = b.c.Output(b.ctx, "web", gaffer.OutputOptions{Tail: -2})
	b.is(err, gaffer.ErrInvalid)
}

func outputClosed(b *bench) {
	b.add("web", "echo 1; echo 2; "+sleeps)
	b.written("web", "2")
	out := b.output("web", gaffer.OutputOptions{Tail: -1})
	_, err := out.Next(b.ctx)
	b.ok(err)
	out.Close()
	if _, err := out.Next(b.ctx); !errors.Is(err, io.EOF) {
		b.Errorf("Next of a closed stream: %v", err)
	}
}
