package gaffertest

import (
	"bytes"
	"strings"

	"github.com/gafferpm/gaffer"
)

var writeCases = []aCase{
	{"WhatIsWrittenComesIn", writeStdin},
	{"BytesAreWrittenAsTheyAre", writeBytes},
	{"CustomStreamsGoBothWays", writeCustom},
	{"WritesThatCantBe", writeRefused},
}

func writeStdin(b *bench) {
	b.add("web", "exec cat", withInput, numprocesses(2))
	out := b.output("web", gaffer.OutputOptions{})
	b.ok(b.c.Write(b.ctx, "web.2", "stdin", []byte("one\n")))
	if o := b.line(out, "one"); o.Slot != 2 {
		b.Errorf("output %+v", o)
	}
	b.ok(b.c.Write(b.ctx, "1", "stdin", []byte("tw")))
	b.ok(b.c.Write(b.ctx, "1", "stdin", nil))
	b.ok(b.c.Write(b.ctx, "1", "stdin", []byte("o\n")))
	if o := b.line(out, "two"); o.ID != 1 {
		b.Errorf("output %+v", o)
	}
	b.is(b.c.Write(b.ctx, "web", "stdin", []byte("to whom?\n")), gaffer.ErrInvalid)
}

func writeBytes(b *bench) {
	_, data := b.allBytes()
	b.add("web", "exec cat", withInput)
	out := b.output("web", gaffer.OutputOptions{Raw: true})
	b.ok(b.c.Write(b.ctx, "web", "stdin", data))
	var got []byte
	for len(got) < len(data) {
		o, err := out.Next(b.ctx)
		b.ok(err)
		got = append(got, o.Data...)
	}
	if !bytes.Equal(got, data) {
		b.Errorf("%q came back, want %q", got, data)
	}
}

func writeCustom(b *bench) {
	b.add("web", `read -r line <&3; echo "you said $line" >&3; `+sleeps, func(t *gaffer.Template) {
		t.CustomStreams = []string{"ctl"}
	})
	out := b.output("web", gaffer.OutputOptions{Tail: -1})
	b.ok(b.c.Write(b.ctx, "web", "ctl", []byte("hello\n")))
	if o := b.line(out, "you said hello"); o.Label != "ctl" {
		b.Errorf("output %+v", o)
	}
}

func writeRefused(b *bench) {
	b.is(b.c.Write(b.ctx, "web", "stdin", []byte("x")), gaffer.ErrNotFound)
	b.add("web", sleeps)
	b.is(b.c.Write(b.ctx, "web", "stdin", []byte("x")), gaffer.ErrConflict)
	err := b.c.Write(b.ctx, "web", "no/such?", []byte("x"))
	b.is(err, gaffer.ErrNotFound)
	if err != nil && !strings.Contains(err.Error(), "no/such?") {
		b.Errorf("the error does not name the stream: %v", err)
	}
	b.is(b.c.Write(b.ctx, "web.2", "stdin", []byte("x")), gaffer.ErrNotFound)
	b.ok(b.c.Stop(b.ctx, "web"))
	b.is(b.c.Write(b.ctx, "web", "stdin", []byte("x")), gaffer.ErrNotFound)
}
