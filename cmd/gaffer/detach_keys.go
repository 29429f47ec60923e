package main

import (
	"fmt"
	"strings"
)

// defaultDetachKeys are those of docker.
const defaultDetachKeys = "ctrl-p,ctrl-q"

// detachKeys finds the keys that detach among all that is typed. What may yet become
// them is held back.
type detachKeys struct {
	keys []byte
	back []int // back[n]: how many of the first n keys are, at their end, the first ones again
	held int   // keys[:held] were typed last
}

// parseDetachKeys reads "ctrl-p,ctrl-q" or "a,ctrl-[": keys with commas between. "" is none.
func parseDetachKeys(text string) (*detachKeys, error) {
	d := &detachKeys{}
	if text == "" {
		return d, nil
	}
	for key := range strings.SplitSeq(text, ",") {
		char, control := strings.CutPrefix(strings.ToLower(key), "ctrl-")
		switch {
		case len(key) == 1 && key[0] > ' ' && key[0] < 0x7f:
			d.keys = append(d.keys, key[0])
		case control && len(char) == 1 && strings.Contains("@abcdefghijklmnopqrstuvwxyz[\\]^_", char):
			d.keys = append(d.keys, char[0]&0x1f)
		default:
			return nil, fmt.Errorf("key %q: want a character, or ctrl- and one of a-z @ [ \\ ] ^ _", key)
		}
	}
	d.back = make([]int, len(d.keys)+1)
	for i, n := 1, 0; i < len(d.keys); i++ {
		for n > 0 && d.keys[i] != d.keys[n] {
			n = d.back[n]
		}
		if d.keys[i] == d.keys[n] {
			n++
		}
		d.back[i+1] = n
	}
	return d, nil
}

// typed takes what was typed, and returns what of it, and of what was held back, is for
// the program. detach: the keys were typed; what came after them is nobody's.
func (d *detachKeys) typed(in []byte) (out []byte, detach bool) {
	if len(d.keys) == 0 {
		return in, false
	}
	out = make([]byte, 0, len(in)+d.held)
	for _, b := range in {
		for d.held > 0 && b != d.keys[d.held] {
			n := d.back[d.held]
			out = append(out, d.keys[:d.held-n]...)
			d.held = n
		}
		if b != d.keys[d.held] {
			out = append(out, b)
			continue
		}
		if d.held++; d.held == len(d.keys) {
			return out, true
		}
	}
	return out, false
}

// rest is what is held back when nothing more is typed.
func (d *detachKeys) rest() []byte {
	held := d.keys[:d.held]
	d.held = 0
	return held
}
