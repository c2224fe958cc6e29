package auth

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ParseKeys reads a key file. Each line has three words: a name, the permissions (read, append,
// or read,append), and the secret or "sha256:" with the secret's hash in hexadecimal. Empty lines
// and lines that begin with # are skipped. Errors name the line and never contain a secret.
func ParseKeys(r io.Reader) ([]Key, error) {
	var keys []Key
	lines := bufio.NewScanner(r)
	number := 1
	for ; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		key, err := parseKey(fields)
		if err != nil {
			return nil, fmt.Errorf("auth: parse keys: line %d: %w", number, err)
		}
		for _, other := range keys {
			if other.Hash == key.Hash {
				return nil, fmt.Errorf("auth: parse keys: line %d: %q has the same key as %q; give each its own",
					number, key.Name, other.Name)
			}
		}
		keys = append(keys, key)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("auth: parse keys: line %d: %w", number, err)
	}
	if len(keys) == 0 {
		return nil, errors.New("auth: parse keys: the file contains no keys; a line is: NAME read,append KEY")
	}
	return keys, nil
}

func parseKey(fields []string) (Key, error) {
	if len(fields) != 3 {
		return Key{}, fmt.Errorf("the line has %d words; a line is: NAME read,append KEY", len(fields))
	}
	permissions, err := parsePermissions(fields[1])
	if err != nil {
		return Key{}, err
	}
	if text, hashed := strings.CutPrefix(fields[2], "sha256:"); hashed {
		hash, err := hex.DecodeString(text)
		if err != nil || len(hash) != sha256.Size {
			return Key{}, fmt.Errorf("sha256: is not followed by %d hexadecimal digits", 2*sha256.Size)
		}
		return Key{Name: fields[0], Permissions: permissions, Hash: [sha256.Size]byte(hash)}, nil
	}
	if len(fields[2]) < MinKeyBytes {
		return Key{}, fmt.Errorf("the key has %d bytes; the minimum is %d", len(fields[2]), MinKeyBytes)
	}
	return NewKey(fields[0], permissions, fields[2]), nil
}

func parsePermissions(text string) (permissions Permission, err error) {
	for word := range strings.SplitSeq(text, ",") {
		switch word {
		case "read":
			permissions |= Read
		case "append":
			permissions |= Append
		default:
			// The word is not quoted: it may be the secret in the wrong column.
			return 0, errors.New("the second word is not a permission; it must be read, append or read,append")
		}
	}
	return permissions, nil
}
