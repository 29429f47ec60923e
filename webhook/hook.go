package webhook

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/gafferpm/gaffer"
)

// Hook says which events are posted, and where to.
type Hook struct {
	// Name tells hooks apart. Required.
	Name string
	// URL is http or https. Required. It may hold a secret: only its host is shown.
	URL string
	// Target is whose events are posted. Default: all.
	Target gaffer.Target
	// Kinds are which are. None means all.
	Kinds []gaffer.Kind
	// Secret is the key of the signature. Default: posts are not signed.
	Secret string
	// Timeout is how long one post may take. Default: 10s.
	Timeout time.Duration
	// MaxAttempts is how often one event is tried, MaxAge for how long, before it
	// becomes a dead letter. Defaults: 100, 24h.
	MaxAttempts int
	MaxAge      time.Duration
	// Headers are added to each post.
	Headers map[string]string
	// CA are certificates in PEM that are trusted instead of the system's.
	CA []byte
}

// The defaults of a Hook.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultMaxAttempts = 100
	DefaultMaxAge      = 24 * time.Hour
)

// withDefaults is the hook with what was left out, a copy that shares nothing.
func (h Hook) withDefaults() Hook {
	if h.Target == "" {
		h.Target = gaffer.All
	}
	if h.Timeout <= 0 {
		h.Timeout = DefaultTimeout
	}
	if h.MaxAttempts <= 0 {
		h.MaxAttempts = DefaultMaxAttempts
	}
	if h.MaxAge <= 0 {
		h.MaxAge = DefaultMaxAge
	}
	h.Kinds, h.Headers, h.CA = slices.Clone(h.Kinds), maps.Clone(h.Headers), slices.Clone(h.CA)
	return h
}

// check tells what is wrong with a hook. Nothing of its URL is in the message.
func (h *Hook) check() error {
	var problems []error
	u, err := url.Parse(h.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		problems = append(problems, errors.New(`url: want one such as "https://example.com/hook"`))
	}
	if err := h.Target.Check(); err != nil {
		problems = append(problems, err)
	}
	for _, k := range h.Kinds {
		if !slices.Contains(gaffer.Kinds(), k) {
			problems = append(problems, fmt.Errorf("kind %q: unknown", k))
		}
	}
	if len(h.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(h.CA) {
		problems = append(problems, errors.New("ca: no certificate in PEM"))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("webhook %s: %w: %w", h.Name, errors.Join(problems...), gaffer.ErrInvalid)
}

// wants says whether an event is to be posted.
func (h *Hook) wants(e *gaffer.Event) bool {
	return (len(h.Kinds) == 0 || slices.Contains(h.Kinds, e.Kind)) && h.Target.Matches(e.Name, e.Slot, e.ID)
}

// shown is the URL without what may be secret in it.
func (h *Hook) shown() string {
	u, err := url.Parse(h.URL)
	if err != nil {
		return ""
	}
	s := u.Scheme + "://" + u.Host
	if len(u.Path) > 1 || u.RawQuery != "" {
		s += "/…"
	}
	return s
}
