package state

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// helperVariable makes the test binary be one of the programs below.
const helperVariable = "GAFFER_TEST_PROGRAM"

// programs are what other processes of the tests do.
var programs = map[string]func(args []string) int{
	"hold":   holdProgram,
	"change": changeProgram,
	"manage": manageProgram,
	"small":  smallProgram,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(helperVariable); name != "" {
		os.Exit(programs[name](os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}
