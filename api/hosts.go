package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// hostOf is an address without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return strings.Trim(host, "[]")
}

func isLoopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// checkHost refuses requests that name another host. A web page whose name was
// pointed here, after it was loaded from elsewhere, names its own.
func (e *endpoint) checkHost(r *http.Request) error {
	host := hostOf(r.Host)
	if isLoopback(host) || slices.ContainsFunc(e.opts.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return nil
	}
	// An address can't be pointed elsewhere.
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && host != "" && hostOf(local.String()) == host {
		return nil
	}
	return fmt.Errorf("host %q: not a name of this endpoint; add it to its hosts: %w", host, ErrForbidden)
}

// checkOrigin refuses requests of web pages from elsewhere, and lets the browser
// know which pages may read the answers. done says that the request only asked.
func (e *endpoint) checkOrigin(w http.ResponseWriter, r *http.Request) (done bool, err error) {
	list := r.Header["Origin"]
	if len(list) == 0 {
		return false, nil
	}
	origin := list[0]
	if len(list) > 1 || !e.sameOrigin(origin, r) && !slices.Contains(e.opts.Origins, origin) {
		return false, fmt.Errorf("origin %q: not of this endpoint; add it to its origins: %w", origin, ErrForbidden)
	}
	if len(e.opts.Origins) == 0 {
		return false, nil
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Last-Event-ID, Location, Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false, nil
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true, nil
}

func (e *endpoint) sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	if err != nil || !strings.EqualFold(u.Host, r.Host) {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && e.certs == nil
}
