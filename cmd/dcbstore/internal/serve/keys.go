package serve

import (
	"os"

	"github.com/dcbstore/dcb/auth"
)

// readKeys reads the file of keys. No error has a key in it.
func (s *server) readKeys() ([]auth.Key, error) {
	const hint = "a line of the file is: NAME read,append KEY; in place of KEY may stand sha256: and its hash"
	file, err := os.Open(s.KeysFile)
	if err != nil {
		return nil, refuse(hint, "--keys: %v", err)
	}
	defer file.Close()
	keys, err := auth.ParseKeys(file)
	if err != nil {
		return nil, refuse(hint, "--keys %s: %v", s.KeysFile, err)
	}
	s.adviseOnMode("the file of keys", s.KeysFile)
	return keys, nil
}
