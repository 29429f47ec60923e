package proc

import "encoding/binary"

// What a Limits has, as bits.
const (
	hasNice = 1 << iota
	hasUmask
	hasOOMScoreAdj
	hasNoNewPrivs
	hasKeepCaps
	hasBoundCaps
	hasLandlock
	hasPrivateTmp
)

// appendLimits writes limits; nil is a single zero.
func appendLimits(b []byte, l *Limits) []byte {
	if l == nil {
		return append(b, 0)
	}
	bits := uint64(0)
	for i, is := range [...]bool{l.Nice != nil, l.Umask != nil, l.OOMScoreAdj != nil, l.NoNewPrivs, l.KeepCaps, l.BoundCaps, l.Landlock, l.PrivateTmp} {
		if is {
			bits |= 1 << i
		}
	}
	b = append(b, 1)
	b = binary.AppendUvarint(b, bits)
	for _, n := range [...]*int{l.Nice, l.Umask, l.OOMScoreAdj} {
		if n != nil {
			b = binary.AppendVarint(b, int64(*n))
		}
	}
	b = binary.AppendUvarint(b, uint64(l.IOPrio))
	for _, n := range [...]uint64{l.Memory, l.CPU, l.Pids} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendText(b, l.Cgroup)
	b = binary.AppendUvarint(b, uint64(len(l.Rlimits)))
	for _, r := range l.Rlimits {
		b = appendText(b, r.Name)
		b = binary.AppendUvarint(b, r.Soft)
		b = binary.AppendUvarint(b, r.Hard)
	}
	for _, list := range [...][]int{l.CPUs, l.Caps} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, n := range list {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	return appendTexts(appendTexts(b, l.Read), l.Write)
}

// limits reads what appendLimits has written.
func (r *specReader) limits() *Limits {
	if r.byte() != 1 {
		return nil
	}
	bits := r.number()
	l := &Limits{
		NoNewPrivs: bits&hasNoNewPrivs != 0, KeepCaps: bits&hasKeepCaps != 0, BoundCaps: bits&hasBoundCaps != 0,
		Landlock: bits&hasLandlock != 0, PrivateTmp: bits&hasPrivateTmp != 0,
	}
	if bits&hasNice != 0 {
		l.Nice = r.signed()
	}
	if bits&hasUmask != 0 {
		l.Umask = r.signed()
	}
	if bits&hasOOMScoreAdj != 0 {
		l.OOMScoreAdj = r.signed()
	}
	l.IOPrio = r.small()
	l.Memory, l.CPU, l.Pids = r.number(), r.number(), r.number()
	l.Cgroup = r.text()
	for range r.count() {
		l.Rlimits = append(l.Rlimits, Rlimit{Name: r.text(), Soft: r.number(), Hard: r.number()})
	}
	l.CPUs, l.Caps = r.smalls(), r.smalls()
	l.Read, l.Write = r.texts(), r.texts()
	return l
}

func (r *specReader) signed() *int {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.torn, r.rest = true, nil
		return new(0)
	}
	r.rest = r.rest[size:]
	return new(int(int32(n)))
}

// small is a number that an int holds everywhere.
func (r *specReader) small() int { return int(uint16(r.number())) }

func (r *specReader) smalls() (list []int) {
	for range r.count() {
		list = append(list, r.small())
	}
	return list
}
