package output_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gafferpm/gaffer/internal/output"
)

// BenchmarkWrite writes lines of 100 bytes, by the chunk. A reader that is there
// keeps up as well as it can.
func BenchmarkWrite(b *testing.B) {
	chunk := bytes.Repeat(append(bytes.Repeat([]byte("x"), 99), '\n'), 600)
	for _, size := range []int{100, 4000, 60_000} {
		for _, lines := range []int{0, 1} {
			b.Run(fmt.Sprintf("chunk=%d/followers=%d", size, lines), func(b *testing.B) {
				l := &log{}
				f := output.FollowLines[string](0)
				read := make(chan int)
				go func() {
					n := 0
					for {
						_, err := f.Next(context.Background())
						if err != nil && f.Len() == 0 {
							break
						}
						n++
					}
					read <- n
				}()
				if lines > 0 {
					l.Attach(f, 0, nil)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				now := time.Now()
				for b.Loop() {
					now = now.Add(time.Microsecond)
					l.Write(stdout, chunk[:size], now)
				}
				f.End()
				if n := <-read; lines > 0 {
					b.ReportMetric(100*float64(n)*100/float64(b.N)/float64(size), "%read")
				}
			})
		}
	}
}

// BenchmarkRead is a whole way: one writer, one reader that takes its time.
func BenchmarkRead(b *testing.B) {
	l := &log{}
	f := output.FollowLines[string](0)
	l.Attach(f, 0, nil)
	line := append(bytes.Repeat([]byte("x"), 99), '\n')
	chunk := bytes.Repeat(line, 40)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	for b.Loop() {
		l.Write(stdout, chunk, time.Now())
		for range 40 {
			if _, err := f.Next(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
