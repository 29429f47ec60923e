package gaffer

import (
	"errors"
	"strings"
	"testing"
)

func TestLinesAreChosenByTheirFields(t *testing.T) {
	const line = ` {"level":"error","n":7,"ok":true,"none":null,"list":[1, 2],"a.b":"dot","a":{"b":"in","c":{"d":1.50}},"text":"x=y"} `
	for condition, want := range map[string]bool{
		"level": true, "level=error": true, "level=err": false, "level!=error": false, "level!=info": true, "level~^err": true, "level~^rr": false,
		"n=7": true, "n=7.0": false, "n>=7": true, "n>7": false, "n<7.5": true, "n<=6": false, "level>1": false, "ok=true": true, "none=null": true,
		"list=[1,2]": true, "a.b=dot": true, "a.c.d=1.50": true, "a.c.d": true, "a.c.e": false, "a.c.e=1": false, "a.c.e!=1": true, "missing": false,
		"text=x=y": true, "text~x=": true, "level.x": false,
	} {
		match, err := (&OutputOptions{Fields: []string{condition}}).check()
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		if got := match([]byte(line)); got != want {
			t.Errorf("%s: %t", condition, got)
		}
	}
	all := OutputOptions{Fields: []string{"level=error", "n>6"}, Text: "dot", Grep: "^ *{"}
	match, err := all.check()
	if err != nil {
		t.Fatal(err)
	}
	if !match([]byte(line)) || match([]byte(`{"level":"error","n":7}`)) || match([]byte(`{"level":"error","n":5} dot`)) {
		t.Error("not all conditions are asked for")
	}
	for _, other := range []string{"", "level=error", "[1]", `{"level":`, `"level"`} {
		if m, _ := (&OutputOptions{Fields: []string{"level!=x"}}).check(); m([]byte(other)) {
			t.Errorf("%q is no object, and is delivered", other)
		}
	}
	for _, how := range []OutputOptions{
		{Fields: []string{""}}, {Fields: []string{"=x"}}, {Fields: []string{"a!b"}}, {Fields: []string{"a<x"}}, {Fields: []string{"a~("}},
		{Grep: "("}, {Grep: "x", Raw: true}, {Text: "x", Raw: true}, {Fields: []string{"a"}, Raw: true}, {Tail: -2},
	} {
		if _, err := how.check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v, want invalid", how, err)
		}
	}
}

func FuzzConditions(f *testing.F) {
	for _, c := range []string{"a", "a=b", "a.b!=c", "a~^x", "a>=1", "=", "a!", "a.b.c<2"} {
		f.Add(c, `{"a":{"b":{"c":1}}}`)
	}
	f.Fuzz(func(t *testing.T, condition, line string) {
		match, err := (&OutputOptions{Fields: []string{condition}}).check()
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
			return
		}
		match([]byte(line))
	})
}

func TestCursorsAreOfEachStream(t *testing.T) {
	var c Cursors
	if c.After(0) != "" {
		t.Errorf("got %q before anything was read", c.After(0))
	}
	for _, text := range []string{"5@web.1/stdout@10", "", "6@web.1/stderr@3", "7@web.1/stdout@20", "7@db.1/stdout@1"} {
		c.Read(Output{Cursor: text})
	}
	const want = "6@web.1/stderr@3 7@db.1/stdout@1 7@web.1/stdout@20"
	if got := c.After(0); got != want {
		t.Errorf("got %q", got)
	}
	if got := c.After(len(want) - 1); got != "7@db.1/stdout@1" {
		t.Errorf("got %q, want the latest", got)
	}
	again, err := ParseCursors(" " + strings.ReplaceAll(want, " ", "\n"))
	if err != nil || again.After(0) != want {
		t.Errorf("got %v, %v", again, err)
	}
	again.Add(&c)
	if again.After(0) != want {
		t.Errorf("got %q", again.After(0))
	}
	if _, err := ParseCursors("x"); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want invalid", err)
	}
}

func TestAGapIsAMiss(t *testing.T) {
	var missed Missed
	if err := error(&OutputGap{"web", 1, "stdout", 5000}); !errors.As(err, &missed) || missed != 1 {
		t.Errorf("got %v", missed)
	}
}
