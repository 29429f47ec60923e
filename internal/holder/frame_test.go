package holder

import (
	"bytes"
	"reflect"
	"testing"
)

func FuzzHeader(f *testing.F) {
	f.Add(appendHeader(nil, &frame{kind: kindStart, epoch: 3, id: 1 << 40, number: -1, body: []byte("body"), fds: []int{1, 2}}))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) < headerSize {
			return
		}
		got, size, fds, err := parseHeader(text)
		if err != nil {
			return
		}
		got.body, got.fds = make([]byte, size), make([]int, fds)
		again, size2, fds2, err := parseHeader(appendHeader(nil, &got))
		again.body, again.fds = got.body, got.fds
		if err != nil || size2 != size || fds2 != fds || !reflect.DeepEqual(again, got) {
			t.Errorf("%v becomes %v, %v", got, again, err)
		}
	})
}

func FuzzOrder(f *testing.F) {
	f.Add((&order{places: []bool{true, false}, keep: []int{1, 2}, spec: []byte("spec")}).append(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		fr := frame{body: text}
		o, err := parseOrder(&fr)
		for n := 0; err != nil && n < 600; n++ { // as many descriptors as it wants
			fr.fds = make([]int, n)
			o, err = parseOrder(&fr)
		}
		if err != nil {
			return
		}
		again, err := parseOrder(&frame{body: o.append(nil), fds: fr.fds})
		if err != nil || !reflect.DeepEqual(again.places, o.places) || !bytes.Equal(again.spec, o.spec) {
			t.Errorf("%+v becomes %+v, %v", o, again, err)
		}
	})
}
