package client_test

import (
	"testing"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/gaffertest"
)

func TestClientOverUnixSocketConforms(t *testing.T) {
	t.Parallel()
	gaffertest.Run(t, func(t *testing.T) gaffer.Controller { return newDaemon(t).overUnix(t) })
}

func TestClientOverTLSConforms(t *testing.T) {
	t.Parallel()
	gaffertest.Run(t, func(t *testing.T) gaffer.Controller {
		d := newDaemon(t)
		return d.overTLS(t, d.key)
	})
}
