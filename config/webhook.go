package config

import (
	"net/textproto"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/gafferpm/gaffer"
	"github.com/gafferpm/gaffer/internal/nearest"
)

// webhook decodes a table [webhook.NAME].
func (d *decoder) webhook(n *node, name string) Webhook {
	h := Webhook{
		Name: name, Target: gaffer.All, MaxAttempts: DefaultWebhookMaxAttempts,
		Timeout: gaffer.Duration(DefaultWebhookTimeout), MaxAge: gaffer.Duration(DefaultWebhookMaxAge),
	}
	d.private(n, func() {
		if err := checkWord("webhook", name); err != nil {
			d.fault(n.key, "%v", err)
		}
		before := len(d.faults)
		d.table(n, reflect.ValueOf(&h).Elem(), "webhook."+quotedKey(name))
		h.SecretFile = d.path(n, "secret_file", h.SecretFile)
		h.CAFile = d.path(n, "ca_file", h.CAFile)
		if len(d.faults) == before {
			d.checkWebhook(n, &h)
		}
	})
	return h
}

// private runs a step of which no fault may show a secret: excerpts of lines that
// have one are left out.
func (d *decoder) private(n *node, step func()) {
	type line struct {
		file string
		n    int
	}
	secret := map[line]bool{}
	for _, field := range []string{"secret", "headers", "url"} {
		n.each(field, func(at spot) {
			end := spot{at.src, span{at.to, at.to}}
			for i := at.line(); i <= end.line(); i++ {
				secret[line{at.src.path, i}] = true
			}
		})
	}
	before := len(d.faults)
	step()
	for _, f := range d.faults[before:] {
		if secret[line{f.File, f.Line}] {
			f.excerpt = ""
			f.Message, _, _ = strings.Cut(f.Message, `: write "`)
		}
	}
}

// each calls f with all spots of a field, and of what is in it.
func (n *node) each(field string, f func(spot)) {
	child := n.fields[field]
	if child == nil {
		return
	}
	f(child.key)
	f(child.at)
	for _, name := range child.keys {
		child.each(name, f)
	}
}

// checkWebhook tells what is wrong with the values.
func (d *decoder) checkWebhook(n *node, h *Webhook) {
	fault := func(field, problem string) {
		if problem != "" {
			d.fault(place(n, field), "%s: %s", field, problem)
		}
	}
	fault("url", urlProblem(h.URL))
	if err := h.Target.Check(); err != nil {
		fault("target", err.Error())
	}
	for _, k := range h.Kinds {
		if known := gaffer.Kinds(); !slices.Contains(known, k) {
			fault("kinds", "unknown kind "+string(k)+nearest.Hint(string(k), kindNames(known)))
		}
	}
	switch {
	case n.fields["secret"] != nil && h.Secret == "":
		fault("secret", "is empty")
	case n.fields["secret"] != nil && h.SecretFile != "":
		fault("secret", "stands beside secret_file; want one of them")
	}
	if h.Timeout == 0 {
		fault("timeout", "want more than 0")
	}
	if h.MaxAge == 0 {
		fault("max_age", "want more than 0")
	}
	if h.MaxAttempts < 1 {
		fault("max_attempts", "want at least 1")
	}
	for _, name := range sortedKeys(h.Headers) {
		fault("headers."+name, headerProblem(name, h.Headers[name].Reveal()))
	}
}

func kindNames(kinds []gaffer.Kind) (names []string) {
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return names
}

func urlProblem(text string) string {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return `is required, such as "https://example.com/hook"`
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return `want a URL such as "https://example.com/hook"`
	case u.User != nil:
		return "has a user in it; want an Authorization among the headers"
	}
	return ""
}

// ownHeaders are those that are not the configuration's to set.
var ownHeaders = []string{
	"Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Te", "Trailer", "Upgrade", "Expect",
}

func headerProblem(name, value string) string {
	key := textproto.CanonicalMIMEHeaderKey(name)
	notToken := func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
	}
	control := func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }
	switch {
	case name == "" || strings.ContainsFunc(name, notToken):
		return "can't be the name of a header"
	case slices.Contains(ownHeaders, key) || strings.HasPrefix(key, "Gaffer-"):
		return "is set by gaffer itself"
	case strings.ContainsFunc(value, control):
		return "has a control character"
	}
	return ""
}
