package auth_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/dcbstore/dcb/auth"
)

const secret = "sixteen-letters!"

func TestKeysFindAndCheck(t *testing.T) {
	t.Parallel()
	both := auth.Read | auth.Append
	keys := auth.NewKeys(
		auth.NewKey("first", auth.Read, secret),
		auth.NewKey("second", auth.Append, secret+"2"),
		auth.NewKey("second", both, secret+"3"),
	)
	for _, c := range []struct {
		secret, name string
		permissions  auth.Permission
	}{{secret, "first", auth.Read}, {secret + "2", "second", auth.Append}, {secret + "3", "second", both}} {
		name, permissions, err := keys.Find(c.secret)
		if name != c.name || permissions != c.permissions || err != nil {
			t.Errorf("Find(%q) = %q, %v, %v", c.secret, name, permissions, err)
		}
		for _, needed := range []auth.Permission{auth.Read, auth.Append, both} {
			name, err := keys.Check(c.secret, needed)
			permitted := c.permissions&needed == needed
			if name != c.name || permitted != (err == nil) || !permitted && !errors.Is(err, auth.ErrPermission) {
				t.Errorf("Check(%q, %v) = %q, %v", c.secret, needed, name, err)
			}
		}
	}
	for _, wrong := range []string{"", secret[1:], secret + " ", strings.ToUpper(secret), "first", strings.Repeat(secret, 1000)} {
		if name, permissions, err := keys.Find(wrong); name != "" || permissions != 0 || !errors.Is(err, auth.ErrKey) {
			t.Errorf("Find(%q) = %q, %v, %v; want ErrKey", wrong, name, permissions, err)
		}
	}
}

func TestKeysFindWithoutKeys(t *testing.T) {
	t.Parallel()
	if _, _, err := auth.NewKeys().Find(""); !errors.Is(err, auth.ErrKey) {
		t.Errorf("empty set: Find = %v, want ErrKey", err)
	}
	var none *auth.Keys
	if name, err := none.Check("", auth.Read|auth.Append); name != "" || err != nil {
		t.Errorf("nil: Check = %q, %v; want success", name, err)
	}
	if none.Changed() != nil {
		t.Error("nil: Changed returned a channel")
	}
}

// The comparison does not stop at the first match: its duration must not depend on the key's
// place.
func TestKeysFindComparesEveryKey(t *testing.T) {
	t.Parallel()
	var all []auth.Key
	for n := range 1000 {
		all = append(all, auth.NewKey("key", auth.Read, secret+strings.Repeat("x", n)))
	}
	all = append(all, auth.NewKey("twin", auth.Append, secret)) // the same secret as the first key
	if name, permissions, err := auth.NewKeys(all...).Find(secret); name != "twin" || permissions != auth.Append || err != nil {
		t.Errorf("Find = %q, %v, %v; want the last key with this secret", name, permissions, err)
	}
}

func TestKeysReplaceClosesChanged(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(auth.NewKey("old", auth.Read, secret))
	changed := keys.Changed()
	select {
	case <-changed:
		t.Fatal("Changed is closed before Replace")
	default:
	}
	var waiting sync.WaitGroup
	for range 10 {
		waiting.Go(func() {
			<-changed
			if _, _, err := keys.Find(secret); !errors.Is(err, auth.ErrKey) {
				t.Errorf("Find(old key) after Replace = %v, want ErrKey", err)
			}
		})
	}
	keys.Replace([]auth.Key{auth.NewKey("new", auth.Read, secret+"2")})
	waiting.Wait()
	if name, _, err := keys.Find(secret + "2"); name != "new" || err != nil {
		t.Errorf("Find(new key) = %q, %v", name, err)
	}
	select {
	case <-keys.Changed():
		t.Error("Changed is closed again without a Replace")
	default:
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Bearer " + secret: secret, "bearer " + secret: secret, "BEARER   " + secret + " ": secret,
		"": "", "Bearer": "", "Bearer ": "", secret: "", "Basic " + secret: "", "Bearer" + secret: "", " Bearer " + secret: "",
	} {
		if got := auth.Bearer(header); got != want {
			t.Errorf("Bearer(%q) = %q, want %q", header, got, want)
		}
	}
}
