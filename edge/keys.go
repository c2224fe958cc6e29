package edge

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
)

// The errors of a caller who may not do what he asks for. A client gets them as a server says them.
var (
	// ErrKey: the call has no key, or one that the server does not know.
	ErrKey = errors.New("edge: the key is missing or unknown")
	// ErrRight: the key is known, but not allowed to do this.
	ErrRight = errors.New("edge: the key has not the right to do this")
)

// Right is what a key allows; rights are added by |.
type Right uint8

// The rights there are.
const (
	Read   Right = 1 << iota // to read, follow, wait, and ask for the head
	Append                   // to append
)

// MinKeyBytes is how long a key is at least, so that guessing it is out of the question.
const MinKeyBytes = 16

// Key is who may call.
type Key struct {
	// Name is what the key is called in logs and metrics. Several keys may share one, as while one replaces another.
	Name string
	// Rights are what it allows.
	Rights Right
	// Hash is the SHA-256 of the key itself, which nobody keeps.
	Hash [sha256.Size]byte
}

// NewKey returns the key that a caller presents as secret.
func NewKey(name string, rights Right, secret string) Key {
	return Key{Name: name, Rights: rights, Hash: sha256.Sum256([]byte(secret))}
}

// Keys are the keys that a server knows. They may be used from many goroutines at once. A nil *Keys lets everyone do everything.
type Keys struct {
	keys atomic.Pointer[[]Key]

	mu      sync.Mutex // guards changed
	changed chan struct{}
}

// NewKeys returns a server's keys. Without any, nobody may do anything.
func NewKeys(keys ...Key) *Keys {
	k := &Keys{changed: make(chan struct{})}
	k.keys.Store(&keys)
	return k
}

// Replace makes keys the ones that are known from now on. Who holds a [Grant] of a key that is not among them is told by Changed.
func (k *Keys) Replace(keys []Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys.Store(&keys)
	close(k.changed)
	k.changed = make(chan struct{})
}

// Changed returns a channel that is closed at the next Replace; on nil Keys one that never is.
func (k *Keys) Changed() <-chan struct{} {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// Find returns the name of the key that secret is and what it allows. Errors: ErrKey. It takes as long for a wrong key as for any right one.
func (k *Keys) Find(secret string) (name string, rights Right, err error) {
	if k == nil {
		return "", Read | Append, nil
	}
	hash := sha256.Sum256([]byte(secret))
	found := false
	for _, key := range *k.keys.Load() {
		if subtle.ConstantTimeCompare(hash[:], key.Hash[:]) == 1 {
			name, rights, found = key.Name, key.Rights, true
		}
	}
	if !found {
		return "", 0, ErrKey
	}
	return name, rights, nil
}

// Check returns the name of the key that secret is, if it has the right. Errors: ErrKey, ErrRight.
func (k *Keys) Check(secret string, right Right) (name string, err error) {
	name, rights, err := k.Find(secret)
	if err == nil && rights&right != right {
		err = ErrRight
	}
	return name, err
}

// Bearer returns the key in the value of an authorization header, which is Bearer KEY; empty if it is anything else.
func Bearer(authorization string) string {
	scheme, secret, found := strings.Cut(authorization, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

// ParseKeys reads keys, one a line: its name, its rights (read, append, or read,append), and the key itself or
// sha256: and its hash in hexadecimal. Empty lines and those that begin with # say nothing. An error names the line, and never has a key in it.
func ParseKeys(from io.Reader) ([]Key, error) {
	var keys []Key
	lines := bufio.NewScanner(from)
	number := 1
	for ; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		key, err := parseKey(fields)
		if err != nil {
			return nil, fmt.Errorf("edge: keys: line %d: %w", number, err)
		}
		for _, other := range keys {
			if other.Hash == key.Hash {
				return nil, fmt.Errorf("edge: keys: line %d: the key of %q is also that of %q; each has one of its own", number, key.Name, other.Name)
			}
		}
		keys = append(keys, key)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("edge: keys: line %d: %w", number, err)
	}
	if len(keys) == 0 {
		return nil, errors.New("edge: keys: there is none; a line is: name read,append key")
	}
	return keys, nil
}

func parseKey(fields []string) (Key, error) {
	if len(fields) != 3 {
		return Key{}, fmt.Errorf("it has %d words; it is: name read,append key", len(fields))
	}
	rights, err := parseRights(fields[1])
	if err != nil {
		return Key{}, err
	}
	if text, hashed := strings.CutPrefix(fields[2], "sha256:"); hashed {
		hash, err := hex.DecodeString(text)
		if err != nil || len(hash) != sha256.Size {
			return Key{}, fmt.Errorf("after sha256: come %d hexadecimal digits", 2*sha256.Size)
		}
		return Key{Name: fields[0], Rights: rights, Hash: [sha256.Size]byte(hash)}, nil
	}
	if len(fields[2]) < MinKeyBytes {
		return Key{}, fmt.Errorf("the key has %d bytes; it has at least %d", len(fields[2]), MinKeyBytes)
	}
	return NewKey(fields[0], rights, fields[2]), nil
}

func parseRights(text string) (rights Right, err error) {
	for word := range strings.SplitSeq(text, ",") {
		switch word {
		case "read":
			rights |= Read
		case "append":
			rights |= Append
		default:
			// It is not quoted, for it may be the key, in the wrong place.
			return 0, errors.New("the second word is no right; there are read, append, and read,append")
		}
	}
	return rights, nil
}
