package decide

import (
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
)

// commandKey is the key of the tag that events carry whose command has a key. It is reserved.
const commandKey = "command"

// once looks whether a command was recorded. Its item selects the command's events, of whatever type.
type once struct {
	part
	key      string
	recorded dcb.Position // of the last of the command's events; 0 if there are none
}

// Once gives a command a key, and is passed to [Decider.Do] beside the views. The events of the command carry the tag command:KEY, and that
// tag is looked at as well: if it is there already, the command was recorded before, maybe by another process, and Do returns the
// position that was recorded then without calling the function. So a command sent twice is recorded once, even if it
// would decide otherwise by now. Only what was recorded is known again: a command that was refused is decided anew.
//
// Whoever sends the command draws the key, once for all times that it is sent: a random UUID, or what identifies it anyway, with
// something before it that tells it from other commands ("invoice-for-order-4711"). To learn more about what was recorded than its position, look at
// the events with that tag by a view: its states are those of before.
func Once(key string) AnyView {
	o := &once{key: key}
	if key == "" {
		o.fail(errors.New("the key of a command is empty"))
		return o
	}
	o.item.Tags = append(o.fewTags[:0:1], commandKey+":"+key)
	return o
}

func (o *once) common() *part { return &o.part }

func (o *once) command() *once { return o }

func (o *once) bind(*Codec) error { return nil }

func (o *once) fold(in *incoming) error {
	o.recorded = in.event.Position
	return nil
}

func (o *once) restore(*Decider) {}

func (o *once) publish() {}

func (o *once) forget() bool {
	o.seen, o.recorded = 0, 0
	return true
}

// commandOf returns what gives the command its key, nil if nothing does.
func commandOf(views []AnyView) (*once, error) {
	var command *once
	for _, v := range views {
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
