package console

import (
	"hash/fnv"
	"strconv"

	"github.com/gafferpm/gaffer"
)

// The colours of templates: those of the terminal's own theme, so that they can
// be read on a dark and on a light background. Red is kept for what goes wrong.
var palette = [...]int{36, 33, 32, 35, 34, 96, 93, 92, 95, 94}

// Colours of gaffer's own lines.
const (
	red   = 31
	green = 32
	bold  = 1
	faint = 2
)

// sgr is the sequence that switches a terminal to a colour.
func sgr(code int) string { return "\x1b[" + strconv.Itoa(code) + "m" }

const reset = "\x1b[0m"

// colors gives each template its colour. A name has the same colour in each run:
// it comes from the name, and where two names meet on one, the one that is
// defined later takes the next that is free.
func colors(infos []gaffer.Info) map[string]int {
	given := make(map[string]int, len(infos))
	taken := map[int]bool{}
	for _, info := range infos {
		at := favourite(info.Template.Name)
		for len(taken) < len(palette) && taken[at] {
			at = (at + 1) % len(palette)
		}
		taken[at] = true
		given[info.Template.Name] = palette[at]
	}
	return given
}

// favourite is the place in the palette that a name would like.
func favourite(name string) int {
	h := fnv.New32a()
	h.Write([]byte(name))
	return int(h.Sum32() % uint32(len(palette)))
}
