package edge_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dcbstore/dcb/edge"
)

const secret = "sixteen-letters!"

func TestKeysAreReadFromLines(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte("another secret, by its hash"))
	keys, err := edge.ParseKeys(strings.NewReader("# who may call\n\n  app   read,append  " + secret + "  \n" +
		"app append,read sha256:" + hex.EncodeToString(hash[:]) + "\n\t#archive read nothing\narchive read a-key-for-reading-only\r\nwriter append a-key-for-appending"))
	if err != nil {
		t.Fatal(err)
	}
	want := []edge.Key{
		edge.NewKey("app", edge.Read|edge.Append, secret), edge.NewKey("app", edge.Read|edge.Append, "another secret, by its hash"),
		edge.NewKey("archive", edge.Read, "a-key-for-reading-only"), edge.NewKey("writer", edge.Append, "a-key-for-appending"),
	}
	if !slices.Equal(keys, want) {
		t.Errorf("%+v, want %+v", keys, want)
	}
}

func TestALineThatIsNoKeyIsNamedWithoutTheKey(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte(secret))
	digits := hex.EncodeToString(hash[:])
	good := "app read " + secret + "\n"
	for name, c := range map[string]struct{ text, says string }{
		"nothing":                 {"", "there is none"},
		"comments alone":          {"# app read " + secret, "there is none"},
		"a word too few":          {good + "app " + secret, "line 2: it has 2 words"},
		"a word too many":         {good + "app read append " + secret, "line 2: it has 4 words"},
		"a key with a blank":      {"app read " + secret + " " + secret, "line 1: it has 4 words"},
		"an unknown right":        {good + "app write " + secret + "2", "line 2: the second word is no right"},
		"no right":                {"app read, " + secret, "line 1: the second word is no right"},
		"the key as the right":    {"app " + secret + " read", "line 1: the second word is no right"},
		"a short key":             {"app read " + secret[:15], "line 1: the key has 15 bytes; it has at least 16"},
		"a short hash":            {"app read sha256:" + digits[:62], "line 1: after sha256: come 64 hexadecimal digits"},
		"a long hash":             {"app read sha256:" + digits + "00", "line 1: after sha256:"},
		"a hash with a letter":    {"app read sha256:" + digits[:63] + "x", "line 1: after sha256:"},
		"a key twice":             {good + "\nother append " + secret, `line 3: the key of "other" is also that of "app"`},
		"a key and its hash":      {good + "other read sha256:" + digits, `line 2: the key of "other" is also that of "app"`},
		"a line that has no end":  {good + strings.Repeat(secret, 10_000), "line 2:"},
		"a line of something odd": {"\x00\xff", "line 1:"},
	} {
		keys, err := edge.ParseKeys(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v; want %q", name, keys, err, c.says)
		}
		if err != nil && (strings.Contains(err.Error(), secret[:15]) || strings.Contains(err.Error(), digits[:16])) {
			t.Errorf("%s: the key shows in %v", name, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("app read,append " + secret + "\n# comment\nother read sha256:" + strings.Repeat("0", 64)))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := edge.ParseKeys(bytes.NewReader(text))
		if err == nil && len(keys) == 0 {
			t.Error("neither keys nor an error")
		}
		for _, key := range keys {
			if key.Name == "" || key.Rights == 0 || key.Rights&^(edge.Read|edge.Append) != 0 {
				t.Errorf("%+v", key)
			}
		}
	})
}

func TestOnlyAKnownKeyIsFoundWhicheverItIs(t *testing.T) {
	t.Parallel()
	keys := edge.NewKeys(edge.NewKey("first", edge.Read, secret), edge.NewKey("second", edge.Append, secret+"2"), edge.NewKey("second", edge.Read|edge.Append, secret+"3"))
	for _, c := range []struct {
		secret, name string
		rights       edge.Right
	}{{secret, "first", edge.Read}, {secret + "2", "second", edge.Append}, {secret + "3", "second", edge.Read | edge.Append}} {
		name, rights, err := keys.Find(c.secret)
		if name != c.name || rights != c.rights || err != nil {
			t.Errorf("%q: %q, %v, %v", c.secret, name, rights, err)
		}
		for _, right := range []edge.Right{edge.Read, edge.Append, edge.Read | edge.Append} {
			name, err := keys.Check(c.secret, right)
			if has := c.rights&right == right; name != c.name || has != (err == nil) || !has && !errors.Is(err, edge.ErrRight) {
				t.Errorf("%q for %v: %q, %v", c.secret, right, name, err)
			}
		}
	}
	for _, wrong := range []string{"", secret[1:], secret + " ", strings.ToUpper(secret), "first", strings.Repeat(secret, 1000)} {
		if name, rights, err := keys.Find(wrong); name != "" || rights != 0 || !errors.Is(err, edge.ErrKey) {
			t.Errorf("%q: %q, %v, %v", wrong, name, rights, err)
		}
	}
	if _, _, err := edge.NewKeys().Find(""); !errors.Is(err, edge.ErrKey) {
		t.Errorf("without keys: %v; want that nobody may do anything", err)
	}
	var none *edge.Keys
	if name, err := none.Check("", edge.Read|edge.Append); name != "" || err != nil {
		t.Errorf("nil keys: %q, %v; want that everybody may do everything", name, err)
	}
	if none.Changed() != nil {
		t.Error("nil keys change")
	}
}

// A key that comes first takes as long as one that comes last, and as a wrong one: all are compared, and only their hashes are.
func TestNoKeyIsFoundFasterThanAnother(t *testing.T) {
	t.Parallel()
	var all []edge.Key
	for n := range 1000 {
		all = append(all, edge.NewKey("key", edge.Read, secret+strings.Repeat("x", n)))
	}
	all = append(all, edge.NewKey("twin", edge.Append, secret)) // the same as the first
	if name, rights, err := edge.NewKeys(all...).Find(secret); name != "twin" || rights != edge.Append || err != nil {
		t.Errorf("%q, %v, %v; want the last that fits, for the search goes on to the end", name, rights, err)
	}
}

func TestWhoHoldsKeysIsToldWhenTheyChange(t *testing.T) {
	t.Parallel()
	keys := edge.NewKeys(edge.NewKey("old", edge.Read, secret))
	changed := keys.Changed()
	select {
	case <-changed:
		t.Fatal("they changed at once")
	default:
	}
	var waiting sync.WaitGroup
	for range 10 {
		waiting.Go(func() {
			<-changed
			if _, _, err := keys.Find(secret); !errors.Is(err, edge.ErrKey) {
				t.Errorf("whoever was told still finds the old key: %v", err)
			}
		})
	}
	keys.Replace([]edge.Key{edge.NewKey("new", edge.Read, secret+"2")})
	waiting.Wait()
	if name, _, err := keys.Find(secret + "2"); name != "new" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	select {
	case <-keys.Changed():
		t.Error("they changed again")
	default:
	}
}

func TestABearerIsWhatFollowsTheWord(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Bearer " + secret: secret, "bearer " + secret: secret, "BEARER   " + secret + " ": secret, "": "", "Bearer": "", "Bearer ": "",
		secret: "", "Basic " + secret: "", "Bearer" + secret: "", " Bearer " + secret: "",
	} {
		if got := edge.Bearer(header); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}
