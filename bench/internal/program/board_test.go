//go:build linux

package program

import (
	"testing"
	"unsafe"
)

func TestSlotIsWhatTheChildWrites(t *testing.T) {
	if size := unsafe.Sizeof(Slot{}); size != 64 {
		t.Errorf("a slot has %d bytes, child.c writes 64", size)
	}
}
