package serve

import (
	"os"

	"github.com/dcbstore/dcb/auth"
)

// readKeys reads the file of keys. Its errors never contain a key.
func (s *server) readKeys() ([]auth.Key, error) {
	const hint = "a line of the file is NAME PERMISSIONS KEY, for example: billing read,append sha256:HASH"
	file, err := os.Open(s.KeysFile)
	if err != nil {
		return nil, refuse(hint, "--keys: %v", err)
	}
	defer file.Close()
	keys, err := auth.ParseKeys(file)
	if err != nil {
		return nil, refuse(hint, "--keys %s: %v", s.KeysFile, err)
	}
	s.warnOfMode(s.KeysFile)
	return keys, nil
}
