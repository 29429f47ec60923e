package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gafferpm/gaffer"
)

// KeyInfo is what is told of a key.
type KeyInfo struct {
	ID   string `json:"id"`
	Name string `json:"name"` // what it is for, in its maker's words
	Role Role   `json:"role"`
	// Target narrows the key to the templates that it selects. Empty: all.
	Target   gaffer.Target `json:"target,omitempty"`
	Created  time.Time     `json:"created"`
	LastUsed time.Time     `json:"last_used,omitzero"` // since the server began
}

// Key is a key as it is stored: without its secret.
type Key struct {
	KeyInfo
	Hash []byte `json:"hash"` // SHA-256 of the secret
}

// NewKey is a key that was just made. The secret is told this once.
type NewKey struct {
	KeyInfo
	Key string `json:"key"`
}

// keyPrefix makes keys easy to find by those who look for secrets in texts.
const keyPrefix = "gaffer_"

// makeKey makes a key with an id of 60 and a secret of 256 random bits.
func makeKey(name string, role Role, target gaffer.Target) (Key, string) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	text := base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(text))
	k := Key{
		KeyInfo: KeyInfo{ID: rand.Text()[:12], Name: name, Role: role, Target: target, Created: time.Now().UTC()},
		Hash:    hash[:],
	}
	return k, keyPrefix + k.ID + "_" + text
}

// keyring is the keys in memory, as they are in the store.
type keyring struct {
	store KeyStore

	mu   sync.RWMutex // guards the rest, and calls of store that change it
	byID map[string]*heldKey
}

// heldKey is a key that is in force until it is revoked.
type heldKey struct {
	Key
	caller Caller
	used   atomic.Int64 // seconds since 1970; 0: never
	force  context.Context
	revoke context.CancelFunc // ends force
}

func (k *keyring) load() error {
	if k.store == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	list, err := k.store.Keys()
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	old := k.byID
	k.byID = make(map[string]*heldKey, len(list))
	for _, key := range list {
		k.byID[key.ID] = hold(key, old[key.ID])
	}
	for id, was := range old {
		if k.byID[id] != was {
			was.revoke()
		}
	}
	return nil
}

// hold puts a key in force, or leaves the one there is if nothing changed.
func hold(key Key, old *heldKey) *heldKey {
	if old != nil && old.Role == key.Role && old.Target == key.Target && old.Name == key.Name &&
		subtle.ConstantTimeCompare(old.Hash, key.Hash) == 1 {
		return old
	}
	force, revoke := context.WithCancel(context.Background())
	return &heldKey{
		Key:    key,
		caller: Caller{By: fmt.Sprintf("key %s (%s)", key.ID, key.Name), Role: key.Role, Target: key.Target},
		force:  force,
		revoke: revoke,
	}
}

// find returns the key in force that a text is, or nil.
func (k *keyring) find(text string) *heldKey {
	id, secret, ok := strings.Cut(strings.TrimPrefix(text, keyPrefix), "_")
	if !ok || !strings.HasPrefix(text, keyPrefix) {
		return nil
	}
	hash := sha256.Sum256([]byte(secret))
	k.mu.RLock()
	key := k.byID[id]
	k.mu.RUnlock()
	if key == nil || subtle.ConstantTimeCompare(hash[:], key.Hash) != 1 {
		return nil
	}
	key.used.Store(time.Now().Unix())
	return key
}

func (k *keyring) empty() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.byID) == 0
}

// list is the keys, the oldest first.
func (k *keyring) list() []KeyInfo {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := make([]KeyInfo, 0, len(k.byID))
	for _, key := range k.byID {
		info := key.KeyInfo
		if used := key.used.Load(); used != 0 {
			info.LastUsed = time.Unix(used, 0).UTC()
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b KeyInfo) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

func (k *keyring) put(key Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.store.PutKey(key); err != nil {
		return fmt.Errorf("key %s: %w", key.ID, err)
	}
	if k.byID == nil {
		k.byID = map[string]*heldKey{}
	}
	k.byID[key.ID] = hold(key, nil)
	return nil
}

// remove takes a key out of force, which ends the streams of those who use it.
func (k *keyring) remove(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := k.byID[id]
	if key == nil {
		return fmt.Errorf("key %s: %w", id, gaffer.ErrNotFound)
	}
	if err := k.store.DeleteKey(id); err != nil {
		return fmt.Errorf("key %s: %w", id, err)
	}
	delete(k.byID, id)
	key.revoke()
	return nil
}

// while returns a context that also ends when a key is revoked.
func while(ctx context.Context, key *heldKey) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if key == nil {
		return ctx, cancel
	}
	unbind := context.AfterFunc(key.force, cancel)
	return ctx, func() { unbind(); cancel() }
}
