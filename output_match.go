package gaffer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// matcher says whether a line is wanted; nil is every line.
type matcher func(line []byte) bool

// check tells what is wrong with the options, and what lines must match.
func (how *OutputOptions) check() (matcher, error) {
	if how.Tail < -1 {
		return nil, invalidf("tail %d: want -1 (all), 0 or more", how.Tail)
	}
	var all []matcher
	if how.Grep != "" {
		re, err := regexp.Compile(how.Grep)
		if err != nil {
			return nil, invalidf("grep: %v", err)
		}
		all = append(all, re.Match)
	}
	if how.Text != "" {
		text := []byte(how.Text)
		all = append(all, func(line []byte) bool { return bytes.Contains(line, text) })
	}
	if len(how.Fields) > 0 {
		match, err := matchFields(how.Fields)
		if err != nil {
			return nil, err
		}
		all = append(all, match)
	}
	switch {
	case len(all) == 0:
		return nil, nil
	case how.Raw:
		return nil, invalidf("grep, text and field: raw output has no lines")
	}
	return func(line []byte) bool {
		for _, match := range all {
			if !match(line) {
				return false
			}
		}
		return true
	}, nil
}

// matchFields makes a matcher of conditions on lines that are JSON objects.
func matchFields(conditions []string) (matcher, error) {
	var all []condition
	for _, text := range conditions {
		c, err := parseCondition(text)
		if err != nil {
			return nil, invalidf("field %q: %v", text, err)
		}
		all = append(all, c)
	}
	return func(line []byte) bool {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] != '{' {
			return false
		}
		var object map[string]any
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber() // so that what was written is compared
		if d.Decode(&object) != nil {
			return false
		}
		for i := range all {
			if !all[i].holds(object) {
				return false
			}
		}
		return true
	}, nil
}

// condition is what must hold of a field: KEY, KEY=VALUE, KEY!=VALUE, KEY~REGEXP, or
// KEY<NUMBER and the like. A dot in KEY goes into an object, unless there is such a key.
type condition struct {
	key, op, value string
	re             *regexp.Regexp // of ~
	number         float64        // of < and the like
}

// operators, those that begin with others first.
var operators = []string{"!=", "<=", ">=", "=", "~", "<", ">"}

func parseCondition(text string) (condition, error) {
	i := strings.IndexAny(text, "!<>=~")
	if i < 0 {
		i = len(text)
	}
	c := condition{key: text[:i]}
	if c.key == "" {
		return c, fmt.Errorf("want KEY=VALUE")
	}
	if i == len(text) {
		return c, nil
	}
	for _, op := range operators {
		if rest, ok := strings.CutPrefix(text[i:], op); ok {
			c.op, c.value = op, rest
			break
		}
	}
	var err error
	switch c.op {
	case "":
		return c, fmt.Errorf("want KEY!=VALUE")
	case "~":
		c.re, err = regexp.Compile(c.value)
	case "<", ">", "<=", ">=":
		if c.number, err = strconv.ParseFloat(c.value, 64); err != nil {
			err = fmt.Errorf("%q: want a number", c.value)
		}
	}
	return c, err
}

func (c *condition) holds(object map[string]any) bool {
	v, found := lookUp(object, c.key)
	if !found {
		return c.op == "!="
	}
	switch text := fieldText(v); c.op {
	case "":
		return true
	case "=":
		return text == c.value
	case "!=":
		return text != c.value
	case "~":
		return c.re.MatchString(text)
	default:
		n, err := strconv.ParseFloat(text, 64)
		return err == nil && c.compares(n)
	}
}

func (c *condition) compares(n float64) bool {
	switch c.op {
	case "<":
		return n < c.number
	case "<=":
		return n <= c.number
	case ">":
		return n > c.number
	}
	return n >= c.number
}

// lookUp finds a field: the whole key first, then what it leads to by its dots.
func lookUp(object map[string]any, key string) (any, bool) {
	if v, ok := object[key]; ok {
		return v, true
	}
	for i := range key {
		if key[i] != '.' {
			continue
		}
		if inner, ok := object[key[:i]].(map[string]any); ok {
			if v, ok := lookUp(inner, key[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// fieldText is a value as it is compared: a string without its quotes, anything else as
// JSON.
func fieldText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}
