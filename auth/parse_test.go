package auth_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/dcbstore/dcb/auth"
)

func TestParseKeys(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte("another secret, by its hash"))
	got, err := auth.ParseKeys(strings.NewReader("# comment\n\n  app   read,append  " + secret + "  \n" +
		"app append,read sha256:" + hex.EncodeToString(hash[:]) + "\n\t#archive read nothing\n" +
		"archive read a-key-for-reading-only\r\nwriter append a-key-for-appending"))
	if err != nil {
		t.Fatal(err)
	}
	want := []auth.Key{
		auth.NewKey("app", auth.Read|auth.Append, secret),
		auth.NewKey("app", auth.Read|auth.Append, "another secret, by its hash"),
		auth.NewKey("archive", auth.Read, "a-key-for-reading-only"),
		auth.NewKey("writer", auth.Append, "a-key-for-appending"),
	}
	if !slices.Equal(got, want) {
		t.Errorf("ParseKeys = %+v, want %+v", got, want)
	}
}

func TestParseKeysNamesTheLineWithoutTheSecret(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte(secret))
	digits := hex.EncodeToString(hash[:])
	good := "app read " + secret + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"empty file":                {"", "contains no keys"},
		"only comments":             {"# app read " + secret, "contains no keys"},
		"two words":                 {good + "app " + secret, "line 2: the line has 2 words"},
		"four words":                {good + "app read append " + secret, "line 2: the line has 4 words"},
		"key with a space":          {"app read " + secret + " " + secret, "line 1: the line has 4 words"},
		"unknown permission":        {good + "app write " + secret + "2", "line 2: the second word is not a permission"},
		"empty permission":          {"app read, " + secret, "line 1: the second word is not a permission"},
		"key instead of permission": {"app " + secret + " read", "line 1: the second word is not a permission"},
		"short key":                 {"app read " + secret[:15], "line 1: the key has 15 bytes; the minimum is 16"},
		"short hash":                {"app read sha256:" + digits[:62], "line 1: sha256: is not followed by 64 hexadecimal digits"},
		"long hash":                 {"app read sha256:" + digits + "00", "line 1: sha256: is not followed by"},
		"hash with a letter":        {"app read sha256:" + digits[:63] + "x", "line 1: sha256: is not followed by"},
		"same key twice":            {good + "\nother append " + secret, `line 3: "other" has the same key as "app"`},
		"key and its hash":          {good + "other read sha256:" + digits, `line 2: "other" has the same key as "app"`},
		"line that is too long":     {good + strings.Repeat(secret, 10_000), "line 2:"},
		"binary line":               {"\x00\xff", "line 1:"},
	} {
		keys, err := auth.ParseKeys(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: ParseKeys = %v, %v; want an error with %q", name, keys, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), secret[:15]) || strings.Contains(err.Error(), digits[:16])) {
			t.Errorf("%s: the error contains the key: %v", name, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("app read,append " + secret + "\n# comment\nother read sha256:" + strings.Repeat("0", 64)))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := auth.ParseKeys(bytes.NewReader(text))
		if err == nil && len(keys) == 0 {
			t.Error("ParseKeys returned neither keys nor an error")
		}
		for _, key := range keys {
			if key.Name == "" || key.Permissions == 0 || key.Permissions&^(auth.Read|auth.Append) != 0 {
				t.Errorf("ParseKeys returned %+v", key)
			}
		}
	})
}
