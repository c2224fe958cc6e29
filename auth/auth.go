// Package auth holds the keys that a server accepts and the permissions of each.
//
// A server is given a [*Keys]; a nil *Keys turns access control off. [ParseKeys] reads them from
// a file. A client sends its key in the first message of dcb's protocol, or as a bearer token
// over HTTP and gRPC. Only the SHA-256 of a key is stored.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
)

// Errors for callers without a valid key or without the permission for a call. They come only
// from servers; errors.Is holds on a client too.
var (
	// ErrKey reports a call without a key, or with one that the server does not know.
	ErrKey = errors.New("auth: the key is missing or unknown")
	// ErrPermission reports a call that the permissions of its key do not cover.
	ErrPermission = errors.New("auth: the key does not have the permission for this call")
)

// Permission is a set of operations that a key allows. Permissions are combined with |.
type Permission uint8

// The permissions.
const (
	Read   Permission = 1 << iota // Read, Stream, Follow, Wait and Head
	Append                        // Append
)

// MinKeyBytes is the minimum length of a key in a key file. Shorter keys can be guessed.
const MinKeyBytes = 16

// Key is one key that a server accepts.
type Key struct {
	// Name identifies the key in logs and metrics. Several keys may share a name, for example while
	// a new key replaces an old one.
	Name string
	// Permissions are the operations that the key allows.
	Permissions Permission
	// Hash is the SHA-256 of the secret. The secret itself is not stored.
	Hash [sha256.Size]byte
}

// NewKey returns the key for a secret, which is what callers present.
func NewKey(name string, permissions Permission, secret string) Key {
	return Key{Name: name, Permissions: permissions, Hash: sha256.Sum256([]byte(secret))}
}

// Keys is the set of keys that a server accepts. Its methods may be called by many goroutines at
// once. A nil *Keys permits every call without a key.
type Keys struct {
	keys atomic.Pointer[[]Key]

	mu      sync.Mutex // guards changed
	changed chan struct{}
}

// NewKeys returns a set of keys. An empty set refuses every call.
func NewKeys(keys ...Key) *Keys {
	k := &Keys{changed: make(chan struct{})}
	k.keys.Store(&keys)
	return k
}

// Replace replaces the whole set, and closes the channel of every earlier call of Changed.
// Servers then check the keys of open connections and streams again.
func (k *Keys) Replace(keys []Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys.Store(&keys)
	close(k.changed)
	k.changed = make(chan struct{})
}

// Changed returns a channel that the next Replace closes. On a nil *Keys it returns nil, which is
// never ready. Call it before Find, so that no change is missed between the two.
func (k *Keys) Changed() <-chan struct{} {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// Find returns the name and the permissions of the key whose secret is given, or ErrKey. It
// compares with every key in constant time, so its duration reveals nothing about the secrets.
func (k *Keys) Find(secret string) (name string, permissions Permission, err error) {
	if k == nil {
		return "", Read | Append, nil
	}
	hash := sha256.Sum256([]byte(secret))
	found := false
	for _, key := range *k.keys.Load() {
		if subtle.ConstantTimeCompare(hash[:], key.Hash[:]) == 1 {
			name, permissions, found = key.Name, key.Permissions, true
		}
	}
	if !found {
		return "", 0, ErrKey
	}
	return name, permissions, nil
}

// Check returns the name of the key whose secret is given. It returns ErrKey for an unknown
// secret, and the name with ErrPermission for a key without the needed permission.
func (k *Keys) Check(secret string, needed Permission) (name string, err error) {
	name, permissions, err := k.Find(secret)
	if err == nil && permissions&needed != needed {
		err = ErrPermission
	}
	return name, err
}

// Bearer returns the token in the value of an Authorization header, or "" if the header has
// another form than "Bearer TOKEN".
func Bearer(authorization string) string {
	scheme, secret, found := strings.Cut(authorization, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}
