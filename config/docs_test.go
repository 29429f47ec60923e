package config_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/gafferpm/gaffer/config"
)

func TestEverySettingIsDocumented(t *testing.T) {
	for page, types := range map[string][]any{
		"../docs/configuration.md": {config.Settings{}, config.Listen{}, config.Plugin{}},
		"../docs/webhooks.md":      {config.Webhook{}},
		"../docs/forward.md":       {config.Forward{}},
	} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range types {
			for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
				name := f.Tag.Get("toml")
				if name != "-" && !strings.Contains(string(text), "| `"+name+"`") && !strings.Contains(string(text), "`, `"+name+"` |") {
					t.Errorf("%s has no row for %s", page, name)
				}
			}
		}
	}
}
