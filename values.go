package gaffer

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gafferpm/gaffer/internal/proc"
)

// Duration is a time.Duration that is written as "1.5s", or as a number of
// seconds. Negative ones are refused.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "1.5s", "2m" or a bare number of seconds.
func (d *Duration) UnmarshalText(b []byte) error {
	s := string(b)
	v, err := time.ParseDuration(s)
	if err != nil {
		f, ferr := strconv.ParseFloat(s, 64)
		if ferr != nil || math.IsNaN(f) {
			return invalidf("duration %q: want a text like \"1.5s\" or \"2m\", or a number of seconds", s)
		}
		if math.Abs(f) > math.MaxInt64/float64(time.Second) {
			return invalidf("duration %s: too long", s)
		}
		v = time.Duration(f * float64(time.Second))
	}
	if v < 0 {
		return invalidf("duration %s: must not be negative", s)
	}
	*d = Duration(v)
	return nil
}

// UnmarshalJSON accepts what UnmarshalText does, and a JSON number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) error { return unmarshalScalar(b, d.UnmarshalText) }

// Size is a number of bytes, written as "10MiB" or as a number.
type Size int64

// sizeUnits are what one of each unit is in bytes, by its name in lower case.
var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
}

// UnmarshalText reads "10MiB", "1.5 GB", "512B" or a bare number of bytes.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	number := strings.TrimRight(text, "kKmMgGtTiIbB ")
	factor, known := sizeUnits[strings.ToLower(strings.TrimSpace(text[len(number):]))]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || math.IsNaN(n) {
		return invalidf("size %q: want a text like \"10MiB\", or a number of bytes", text)
	}
	if n < 0 || n*factor >= math.MaxInt64 {
		return invalidf("size %s: out of range", text)
	}
	*s = Size(n * factor)
	return nil
}

// UnmarshalJSON accepts what UnmarshalText does, and a JSON number of bytes.
func (s *Size) UnmarshalJSON(b []byte) error { return unmarshalScalar(b, s.UnmarshalText) }

// MarshalText writes the size as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if one := Size(sizeUnits[strings.ToLower(u)]); s >= one && s%one == 0 {
			return strconv.FormatInt(int64(s/one), 10) + u
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Account is a user or a group: its name or its number.
type Account string

// UnmarshalText accepts any text; whether there is such an account is checked
// when the template is added.
func (a *Account) UnmarshalText(b []byte) error { *a = Account(b); return nil }

// UnmarshalJSON accepts a string or a number.
func (a *Account) UnmarshalJSON(b []byte) error { return unmarshalScalar(b, a.UnmarshalText) }

// Signal is a signal, written by name ("SIGHUP", "HUP", "hup") or number.
type Signal syscall.Signal

// ParseSignal reads a signal's name, with or without SIG, or its number.
func ParseSignal(s string) (Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > 64 {
			return 0, invalidf("signal %d: want a number from 1 to 64", n)
		}
		return Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n := proc.SignalNumber(name); n != 0 {
		return Signal(n), nil
	}
	return 0, invalidf("signal %q: unknown; want a name such as HUP or SIGTERM, or a number", s)
}

func (s Signal) String() string {
	if name := proc.SignalName(syscall.Signal(s)); name != "" {
		return name
	}
	return strconv.Itoa(int(s))
}

// MarshalText writes the signal's name, or its number where it has none.
func (s Signal) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what ParseSignal does.
func (s *Signal) UnmarshalText(b []byte) (err error) { *s, err = ParseSignal(string(b)); return err }

// UnmarshalJSON accepts a string or a number.
func (s *Signal) UnmarshalJSON(b []byte) error { return unmarshalScalar(b, s.UnmarshalText) }

// unmarshalScalar hands a JSON string's text, or a JSON number as it is written,
// to text.
func unmarshalScalar(b []byte, text func([]byte) error) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		return text([]byte(s))
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("want a string or a number: %w", err)
	}
	return text([]byte(n))
}
