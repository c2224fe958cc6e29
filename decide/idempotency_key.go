package decide

import (
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
)

// commandKey is the key of the tag that events carry whose command has a key. It is reserved.
const commandKey = "command"

// once looks whether a command was recorded. Its item selects the command's events, of whatever type.
type idempotencyKey struct {
	part
	key      string
	recorded dcb.Position // of the last of the command's events; 0 if there are none
}

// IdempotencyKey gives a command a key, and is passed to [Runner.Do] beside the projections. The events of the command carry the tag command:KEY, and that
// tag is looked at as well: if it is there already, the command was recorded before, maybe by another process, and Do returns the
// position that was recorded then without calling the function. So a command sent twice is recorded once, even if it
// would decide otherwise by now. Only what was recorded is known again: a command that was refused is decided anew.
//
// Whoever sends the command draws the key, once for all times that it is sent: a random UUID, or what identifies it anyway, with
// something before it that tells it from other commands ("invoice-for-order-4711"). To learn more about what was recorded than its position, look at
// the events with that tag by a projection: its states are those of before.
func IdempotencyKey(key string) AnyProjection {
	o := &idempotencyKey{key: key}
	if key == "" {
		o.fail(errors.New("the key of a command is empty"))
		return o
	}
	o.item.Tags = append(o.fewTags[:0:1], commandKey+":"+key)
	return o
}

func (o *idempotencyKey) common() *part { return &o.part }

func (o *idempotencyKey) command() *idempotencyKey { return o }

func (o *idempotencyKey) bind(*Codec) error { return nil }

func (o *idempotencyKey) fold(in *incoming) error {
	o.recorded = in.event.Position
	return nil
}

func (o *idempotencyKey) restore(*Runner) {}

func (o *idempotencyKey) publish() {}

func (o *idempotencyKey) forget() bool {
	o.seen, o.recorded = 0, 0
	return true
}

// commandOf returns what gives the command its key, nil if nothing does.
func commandOf(projections []AnyProjection) (*idempotencyKey, error) {
	var command *idempotencyKey
	for _, v := range projections {
		o := v.command()
		switch {
		case o == nil || o == command:
		case command == nil:
			command = o
		default:
			return nil, fmt.Errorf("the command has two keys, %q and %q", command.key, o.key)
		}
	}
	return command, nil
}
