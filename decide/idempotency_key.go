package decide

import (
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
)

// commandKey is the key of the tag that events carry if their command has an idempotency key. It
// is reserved.
const commandKey = "command"

// IdempotencyKey makes sure that a command that is sent several times is recorded once. Pass it
// to [Runner.Do] beside the projections.
//
// The events of the command carry the tag command:KEY, and that tag belongs to the boundary of
// the decision. If Do finds events with the tag, the command was recorded before, possibly by
// another process. Do then returns the position of the last of them and does not call the
// function, even if it would decide differently now. A command that was refused has recorded
// nothing and is decided again.
//
// The sender of the command chooses the key, before it sends the command for the first time. A
// random UUID is a good key. So is a text that identifies the command anyway, with a prefix for
// the kind of command, such as "invoice-for-order-4711". The key is readable in a tag, so it must
// not be a secret. To read what a command recorded, use a projection that is tagged "command"
// with the key.
func IdempotencyKey(key string) AnyProjection {
	k := &idempotencyKey{key: key}
	if key == "" {
		k.fail(errors.New("the idempotency key is empty; use a random UUID or a text that identifies the command"))
		return k
	}
	k.item.Tags = append(k.tagsArray[:0:1], commandKey+":"+key)
	return k
}

// idempotencyKey looks for events of its command. Its item selects events of all types.
type idempotencyKey struct {
	projectionBase
	key      string
	recorded dcb.Position // of the last event of the command; 0 if there is none
}

// findIdempotencyKey returns the idempotency key among projections, or nil. Two keys are an
// error.
func findIdempotencyKey(projections []AnyProjection) (*idempotencyKey, error) {
	var found *idempotencyKey
	for _, projection := range projections {
		k := projection.asIdempotencyKey()
		switch {
		case k == nil || k == found:
		case found == nil:
			found = k
		default:
			return nil, fmt.Errorf("the command has two idempotency keys, %q and %q; pass one", found.key, k.key)
		}
	}
	return found, nil
}

func (k *idempotencyKey) asIdempotencyKey() *idempotencyKey { return k }

func (k *idempotencyKey) bind(*Codec) error { return nil }

func (k *idempotencyKey) fold(in *incoming) error {
	k.recorded = in.event.Position
	return nil
}

func (k *idempotencyKey) loadCached(*Runner) {}

func (k *idempotencyKey) storeCached() {}

func (k *idempotencyKey) reset() bool {
	k.seen, k.recorded = 0, 0
	return true
}
