package dcbgrpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/proto/umadbv1"
)

// Tracking: whoever makes events out of those of an upstream source records with them how far he has come there, and nobody records them twice.
//
// It asks nothing of the store that it does not do anyway. Each event of a tracked append has a tag that names the source, by which the
// latest is found, and metadata that say the position. Both are taken off when the events go out by this wire; others show them. Nobody
// but tracking_info may write or query them here.
const (
	trackingTag = "dcb:tracking:" // and the source
	trackingKey = "dcb:tracking"  // position, space, source
	// trackingType is the type of the event that keeps a position which came without events.
	trackingType = "dcb:tracking"

	maxSourceBytes = dcb.MaxTagBytes - len(trackingTag)
)

// tracked is what is recorded for a source.
type tracked struct {
	found    bool
	position uint64
	head     dcb.Position // of the store at that moment
}

func checkSource(field, source string) error {
	switch {
	case source == "":
		return &dcb.InvalidError{Field: field, Problem: fmt.Sprintf("is empty; it must have 1 to %d bytes", maxSourceBytes)}
	case len(source) > maxSourceBytes:
		return &dcb.InvalidError{
			Field: field, Limit: maxSourceBytes, Problem: fmt.Sprintf("has %d bytes; the limit is %d", len(source), maxSourceBytes),
		}
	}
	return nil
}

// checkTags refuses the tags that are reserved.
func checkTags(tags []string) *dcb.InvalidError {
	for i, tag := range tags {
		if strings.HasPrefix(tag, trackingTag) {
			return &dcb.InvalidError{
				Field: fmt.Sprintf("tags[%d]", i), Problem: "begins with " + trackingTag + ", which is reserved; tracking_info sets it",
			}
		}
	}
	return nil
}

func taggedBy(source string) dcb.QueryItem {
	return dcb.QueryItem{Tags: []string{trackingTag + source}}
}

// tracked returns the latest position recorded for source.
func (u *umadbServer) tracked(ctx context.Context, source string) (tracked, error) {
	opts := dcb.ReadOptions{Backwards: true, Limit: 1}
	for head := dcb.Position(0); ; {
		result, err := u.server.store.Read(ctx, dcb.Query{taggedBy(source)}, opts)
		if err != nil {
			return tracked{}, err
		}
		if opts.Before == 0 {
			head = result.Head
		}
		if len(result.Events) == 0 {
			return tracked{head: head}, nil
		}
		if info, ok := infoOf(&result.Events[0].Event); ok {
			return tracked{true, info.GetPosition(), head}, nil
		}
		opts.Before = result.Events[0].Position // it came by another wire, and only looks like one of ours
	}
}

// infoOf returns what is tracked with an event, if anything is.
func infoOf(e *dcb.Event) (*umadbv1.TrackingInfo, bool) {
	value := e.Metadata[trackingKey]
	if value == "" {
		return nil, false
	}
	number, source, _ := strings.Cut(value, " ")
	position, err := strconv.ParseUint(number, 10, 64)
	if err != nil || !taggedBy(source).Matches(*e) {
		return nil, false
	}
	return &umadbv1.TrackingInfo{Source: source, Position: position}, true
}

// untracked returns e as it was before its tracking was added, if it has any.
func untracked(e *dcb.Event) (dcb.Event, *umadbv1.TrackingInfo) {
	info, ok := infoOf(e)
	if !ok {
		return *e, nil
	}
	plain := *e
	plain.Tags = slices.DeleteFunc(slices.Clone(e.Tags), func(tag string) bool { return tag == trackingTag+info.GetSource() })
	plain.Metadata = maps.Clone(e.Metadata)
	delete(plain.Metadata, trackingKey)
	return plain, info
}

// withTracking returns copies of events that carry info.
func withTracking(events []dcb.Event, info *umadbv1.TrackingInfo) ([]dcb.Event, error) {
	if len(events) == 0 {
		events = []dcb.Event{{Type: trackingType}}
	}
	if err := dcb.ValidateAppend(events, nil); err != nil {
		return nil, err // in terms of what the caller wrote
	}
	value := strconv.FormatUint(info.GetPosition(), 10) + " " + info.GetSource()
	with := make([]dcb.Event, len(events))
	for i, e := range events {
		tags := dcb.UniqueTags(e.Tags)
		if len(tags) == dcb.MaxTags {
			return nil, tooManyToTrack(i, "tags", dcb.MaxTags)
		}
		if len(e.Metadata) == dcb.MaxMetadata {
			return nil, tooManyToTrack(i, "metadata", dcb.MaxMetadata)
		}
		e.Tags = append(slices.Clone(tags), trackingTag+info.GetSource())
		e.Metadata = maps.Clone(e.Metadata)
		if e.Metadata == nil {
			e.Metadata = make(map[string]string, 1)
		}
		e.Metadata[trackingKey] = value
		with[i] = e
	}
	return with, nil
}

func tooManyToTrack(event int, field string, limit int) error {
	return &dcb.InvalidError{
		Field: fmt.Sprintf("events[%d].%s", event, field), Limit: limit - 1,
		Problem: fmt.Sprintf("has %d entries; the limit is %d where there is a tracking_info", limit, limit-1),
	}
}

// appendTracked appends events together with the position of their source, which must be greater than the one recorded.
//
// What is recorded is read first, at some head; then the append carries the condition that no event after that head has the source's
// tag. Whatever the caller's own condition says about events up to that head is checked by reading, and about later ones by the append itself.
// If that conflicts, somebody else has appended in between: it begins anew, and finds out whether the conflict was the caller's.
func (u *umadbServer) appendTracked(
	ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition, info *umadbv1.TrackingInfo,
) (dcb.Position, error) {
	if err := checkSource("tracking_info.source", info.GetSource()); err != nil {
		return 0, err
	}
	with, err := withTracking(events, info)
	if err != nil {
		return 0, err
	}
	tag := taggedBy(info.GetSource())
	guard := dcb.AppendCondition{FailIfEventsMatch: dcb.Query{tag}}
	if condition != nil {
		guard.FailIfEventsMatch = append(slices.Clone(condition.FailIfEventsMatch), tag)
	}
	for {
		recorded, err := u.tracked(ctx, info.GetSource())
		if err != nil {
			return 0, err
		}
		if recorded.found && info.GetPosition() <= recorded.position {
			return u.repeated(ctx, with, recorded, info)
		}
		if condition != nil && recorded.head > 0 {
			if err := u.check(ctx, condition, recorded.head); err != nil {
				return 0, err
			}
		}
		guard.After = recorded.head
		position, err := u.server.store.Append(ctx, with, &guard)
		if errors.Is(err, dcb.ErrConflict) {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			continue
		}
		if len(events) == 0 {
			position = 0 // the protocol has none to tell
		}
		return position, err
	}
}

// repeated answers an append whose position is not greater than what is recorded: it is a conflict, unless it is recorded
// itself already. That is what the store finds out when it is asked to append under a condition that must fail.
func (u *umadbServer) repeated(ctx context.Context, with []dcb.Event, recorded tracked, info *umadbv1.TrackingInfo) (dcb.Position, error) {
	if !slices.ContainsFunc(with, func(e dcb.Event) bool { return e.ID == uuid.Nil }) {
		position, err := u.server.store.Append(ctx, with, &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{taggedBy(info.GetSource())}})
		if !errors.Is(err, dcb.ErrConflict) {
			return position, err
		}
	}
	return 0, &trackingError{info.GetPosition(), recorded.position}
}

// trackingError is the error of an append whose tracking position is not greater than the one recorded. To this protocol it is a conflict.
type trackingError struct{ given, recorded uint64 }

func (e *trackingError) Error() string {
	return fmt.Sprintf("%v: the tracking position %d is not greater than %d, which is recorded", dcb.ErrConflict, e.given, e.recorded)
}

// Is reports whether target is [dcb.ErrConflict].
func (e *trackingError) Is(target error) bool { return target == dcb.ErrConflict }
