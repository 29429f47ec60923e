package state

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/gafferpm/gaffer"
)

// Bucket is a named set of small values, each under a key, that are kept for
// somebody else. Whatever changes it returns when that is on the disk.
type Bucket struct {
	s    *State
	name []byte
}

// Bucket is the bucket of a name. It is empty until something is put into it.
func (s *State) Bucket(name string) *Bucket {
	return &Bucket{s: s, name: []byte(othersPrefix + name)}
}

// Get is the value of a key. ErrNotFound: there is none.
func (b *Bucket) Get(key string) (value []byte, err error) {
	err = b.view(func(tx *Tx) (err error) { value, err = tx.Get(key); return err })
	return value, err
}

// Put gives a key its value.
func (b *Bucket) Put(key string, value []byte) error {
	return b.Update(func(tx *Tx) error { return tx.Put(key, value) })
}

// Delete removes keys, for good: should the database be damaged later, its copy does
// not have them either. One that is not there is none to remove.
func (b *Bucket) Delete(keys ...string) error {
	err := b.Update(func(tx *Tx) error {
		for _, key := range keys {
			if err := tx.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.wrap(b.s.forget())
}

// Range calls f with each key that begins with a prefix and its value, in the
// order of the bytes of the keys. An error of f ends it and is returned. f must not
// change the bucket.
func (b *Bucket) Range(prefix string, f func(key string, value []byte) error) error {
	return b.view(func(tx *Tx) error { return tx.Range(prefix, f) })
}

// Update makes several changes at once: all of them, or none when f returns an
// error. f must use nothing but its Tx. What it deletes may come back with the copy
// of a database that is damaged.
func (b *Bucket) Update(f func(tx *Tx) error) error {
	err := safely(func() error {
		return b.s.db.Update(func(tx *bbolt.Tx) error {
			inner, err := tx.CreateBucketIfNotExists(b.name)
			if err != nil {
				return err
			}
			return f(&Tx{inner})
		})
	})
	if err != nil {
		return b.wrap(err)
	}
	b.s.writing.Lock()
	defer b.s.writing.Unlock()
	b.s.copyDaily()
	return nil
}

func (b *Bucket) view(f func(tx *Tx) error) error {
	return b.wrap(safely(func() error {
		return b.s.db.View(func(tx *bbolt.Tx) error { return f(&Tx{tx.Bucket(b.name)}) })
	}))
}

func (b *Bucket) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("state, %s: %w", b.name, err)
}

// Tx is a bucket as it is at one time, and during Update, what it becomes. It is
// not to be used afterwards.
type Tx struct {
	bucket *bbolt.Bucket // nil: there is none yet
}

// Get is the value of a key. ErrNotFound: there is none.
func (tx *Tx) Get(key string) ([]byte, error) {
	var sealed []byte
	if tx.bucket != nil {
		sealed = tx.bucket.Get([]byte(key))
	}
	if sealed == nil {
		return nil, fmt.Errorf("%q: %w", key, gaffer.ErrNotFound)
	}
	value, err := unseal(sealed)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", key, err)
	}
	return bytes.Clone(value), nil
}

// Put gives a key its value.
func (tx *Tx) Put(key string, value []byte) error {
	return tx.bucket.Put([]byte(key), seal(value))
}

// Delete removes a key. One that is not there is none to remove.
func (tx *Tx) Delete(key string) error { return tx.bucket.Delete([]byte(key)) }

// Range calls f with each key that begins with a prefix and its value, in the
// order of the bytes of the keys. An error of f ends it and is returned. f must not
// change the bucket.
func (tx *Tx) Range(prefix string, f func(key string, value []byte) error) error {
	if tx.bucket == nil {
		return nil
	}
	c := tx.bucket.Cursor()
	for key, sealed := c.Seek([]byte(prefix)); bytes.HasPrefix(key, []byte(prefix)) && key != nil; key, sealed = c.Next() {
		value, err := unseal(sealed)
		if err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if err := f(string(key), bytes.Clone(value)); err != nil {
			return err
		}
	}
	return nil
}
