package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// durationFlag is a flag for a duration, as 30s or as a number of seconds.
type durationFlag time.Duration

func (d *durationFlag) Set(s string) error {
	var v gaffer.Duration
	if err := v.UnmarshalText([]byte(s)); err == nil {
		*d = durationFlag(v)
		return nil
	}
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		*d = durationFlag(seconds * float64(time.Second))
		return nil
	}
	return errors.New("want a time as 500ms, 30s or 1m30s, or a number of seconds")
}

func (d *durationFlag) String() string { return time.Duration(*d).String() }
func (d *durationFlag) Type() string   { return "duration" }

// flagError is an error of the flags of a command line in words of its own.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return usagef("--%s %s: %w", f.Name, invalid.GetValue(), wanted(f.Value.Type(), errors.Unwrap(invalid)))
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, strings.ReplaceAll(f.Name, "-", "_")) // as nearest has names
			}
		})
		if name := nearest.Name(unknown.GetSpecifiedName(), names); name != "" {
			return usagef("%w; did you mean --%s?", err, strings.ReplaceAll(name, "_", "-"))
		}
	}
	return &usageError{err}
}

// wanted is what a value of a type should look like, where the type's own error
// does not say it.
func wanted(kind string, err error) error {
	switch kind {
	case "uint64":
		return errors.New("want a number from 0")
	case "int":
		return errors.New("want a number")
	case "bool":
		return errors.New("want true or false")
	}
	return err
}
