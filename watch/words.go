package watch

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// smallest are the first n of a list, in order.
func smallest(list []string, n int) []string {
	var first []string
	for _, s := range list {
		at, _ := slices.BinarySearch(first, s)
		if at < n {
			first = slices.Insert(first, at, s)
			first = first[:min(len(first), n)]
		}
	}
	return first
}

// clean is a file's name that a terminal can be shown.
func clean(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
