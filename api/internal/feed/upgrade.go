package feed

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// checkUpgrade says whether a request opens a WebSocket, and whether the page
// that makes it may: a browser lets every page connect to every host.
func (f *Feed) checkUpgrade(r *http.Request) error {
	if !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket") {
		return fmt.Errorf("attach is a WebSocket: %w", ErrUpgrade)
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil // no browser
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return fmt.Errorf("origin %q: %w", origin, ErrOrigin)
	}
	if strings.EqualFold(u.Host, r.Host) {
		return nil
	}
	for _, pattern := range f.opts.Origins {
		from := u.Host
		if strings.Contains(pattern, "://") {
			from = u.Scheme + "://" + u.Host
		}
		if ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(from)); ok && err == nil {
			return nil
		}
	}
	return fmt.Errorf("origin %q: %w", origin, ErrOrigin)
}

// hasToken says whether a header that is a list has an element.
func hasToken(h http.Header, name, token string) bool {
	for _, value := range h.Values(name) {
		for element := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(element), token) {
				return true
			}
		}
	}
	return false
}
