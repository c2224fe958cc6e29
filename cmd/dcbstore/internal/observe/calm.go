package observe

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// mostLines is how many lines of one kind there are in a second. A database that is away, or somebody who tries keys or opens connections, must
// not fill the disk, nor hide everything else.
const mostLines = 20

// mostKinds is how many kinds are told apart.
const mostKinds = 1000

// budgets say which lines may be written.
type budgets struct {
	now func() time.Time

	mu    sync.Mutex // guards spent
	spent map[string]*budget
}

// budget is what was written of one kind in a second, and what was left out since the last that was written.
type budget struct {
	second       int64
	written, out int
}

func newBudgets() *budgets { return &budgets{now: time.Now, spent: make(map[string]*budget)} }

// mayWrite reports whether a line of this kind may be written now, and how many were left out before it.
func (b *budgets) mayWrite(kind string) (may bool, left int) {
	second := b.now().Unix()
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.spent[kind]
	if one == nil && len(b.spent) >= mostKinds {
		kind = "other"
		one = b.spent[kind]
	}
	if one == nil {
		one = new(budget)
		b.spent[kind] = one
	}
	if one.second != second {
		one.second, one.written = second, 0
	}
	if one.written == mostLines {
		one.out++
		return false, 0
	}
	one.written++
	left, one.out = one.out, 0
	return true, left
}

// notLogged is the attribute that says how many lines of the kind were left out before this one.
const notLogged = "not_logged_before"

// Calm returns a logger for what others can make happen, such as connections that are turned away: of one message it writes a few lines a second, and then
// says how many it left out. A message is the same up to its first digit, since some of those of net/http have an address in them.
func Calm(log *slog.Logger) *slog.Logger { return slog.New(&calm{log.Handler(), newBudgets()}) }

type calm struct {
	slog.Handler
	budgets *budgets
}

// Handle is part of slog.Handler.
func (c *calm) Handle(ctx context.Context, r slog.Record) error {
	kind := r.Message
	if digit := strings.IndexAny(kind, "0123456789"); digit > 0 {
		kind = kind[:digit]
	}
	may, left := c.budgets.mayWrite(kind)
	if !may {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int(notLogged, left))
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs is part of slog.Handler.
func (c *calm) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &calm{c.Handler.WithAttrs(attrs), c.budgets}
}

// WithGroup is part of slog.Handler.
func (c *calm) WithGroup(name string) slog.Handler {
	return &calm{c.Handler.WithGroup(name), c.budgets}
}
