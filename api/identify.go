package api

import (
	"fmt"
	"strings"
)

// anybody is a caller of whom nothing is known.
var anybody = Caller{By: "anybody"}

// identify finds out who asks: by the key if there is one, else by the
// connection.
func (c *call) identify() error {
	at, _ := c.r.Context().Value(connKey{}).(*conn)
	if at == nil {
		return errInternal // every way in says where it comes from
	}
	if text, ok := keyOf(c); ok && at.ep != nil {
		return c.identifyKey(at, text)
	}
	switch {
	case at.caller != nil:
		c.caller = at.caller()
		return nil
	case c.certified(at):
		return nil
	case at.ep.opts.Insecure:
		c.caller = &Caller{By: "anybody at " + at.remote, Role: Admin}
		return nil
	case c.route.role == Nobody:
		c.caller = &anybody
		return nil
	}
	return fmt.Errorf("a key is needed: %w", ErrUnauthorized)
}

// identifyKey tells a caller by its key. A wrong one costs a moment, and many of
// them are not even looked at.
func (c *call) identifyKey(at *conn, text string) error {
	key := c.s.keys.find(text)
	if key != nil {
		c.caller, c.key = &key.caller, key
		return nil
	}
	if wait := c.s.wrong.add(at.remote); wait > 0 {
		return later{fmt.Errorf("wrong keys: %w", errTooMany), wait}
	}
	c.s.wrong.delay(c.r.Context())
	c.s.logger.Warn("a wrong key", "from", at.remote)
	return fmt.Errorf("the key is not known: %w", ErrUnauthorized)
}

// certified tells a caller by its certificate, which the handshake has checked.
func (c *call) certified(at *conn) bool {
	if c.r.TLS == nil || len(c.r.TLS.VerifiedChains) == 0 {
		return false
	}
	name := c.r.TLS.VerifiedChains[0][0].Subject.CommonName
	role, ok := at.ep.opts.Users[name]
	if !ok {
		return false
	}
	c.caller = &Caller{By: "certificate " + name, Role: role}
	return true
}

// keyOf is the key that a request has with it: in its header, or, where a browser
// opens a WebSocket and can't set one, in the name of a subprotocol.
func keyOf(c *call) (text string, ok bool) {
	if auth := c.r.Header["Authorization"]; len(auth) > 0 {
		scheme, text, _ := strings.Cut(auth[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(text), true
		}
		return "", true // what another scheme has is no key
	}
	if !c.route.stream {
		return "", false
	}
	for _, list := range c.r.Header["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(list, ",") {
			if text, ok := strings.CutPrefix(strings.TrimSpace(p), "gaffer.key."); ok {
				return text, true
			}
		}
	}
	return "", false
}
