package client_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/client"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCodeOfThePageIsThatOfTheExample(t *testing.T) {
	page := read(t, "../docs/client.md")
	_, rest, _ := strings.Cut(page, "```go\n")
	code, _, found := strings.Cut(rest, "```")
	if !found || !strings.Contains(read(t, "example_test.go"), code) {
		t.Error("the first block of code in docs/client.md is not in example_test.go")
	}
}

func TestEveryMethodBeyondAControllerIsDocumented(t *testing.T) {
	page := read(t, "../docs/client.md")
	controller := reflect.TypeFor[gaffer.Controller]()
	c := reflect.TypeFor[*client.Client]()
	for i := range c.NumMethod() {
		name := c.Method(i).Name
		if _, inherited := controller.MethodByName(name); inherited || name == "Close" || name == "Host" {
			continue
		}
		if !strings.Contains(page, "`"+name+"`") && !strings.Contains(page, "`"+name+"(") {
			t.Errorf("docs/client.md does not name %s", name)
		}
	}
}
