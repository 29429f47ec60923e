package console

import (
	"os"

	"golang.org/x/sys/unix"
)

// IsTerminal tells whether a person looks at f.
func IsTerminal(f *os.File) bool {
	// Only a terminal has a size; the null device, a character device too, has none.
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// Size is how many characters a line of the terminal f has, and how many lines it
// has; 0 when it is none or does not know.
func Size(f *os.File) (width, height int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// WantsColor tells whether what goes to a terminal, or elsewhere, is to be
// coloured, by the conventions that the environment follows: NO_COLOR, then
// CLICOLOR_FORCE, then TERM.
func WantsColor(terminal bool, getenv func(string) string) bool {
	force := getenv("CLICOLOR_FORCE")
	switch {
	case getenv("NO_COLOR") != "":
		return false
	case force != "" && force != "0":
		return true
	case getenv("TERM") == "dumb":
		return false
	}
	return terminal
}
