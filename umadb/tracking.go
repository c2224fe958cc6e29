package umadb

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
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// Tracking. A client that derives events from an upstream source sends the source and its
// position there with each append, so that no upstream event is processed twice.
//
// The server needs nothing from the store for it. Each event of a tracked append has a reserved
// tag that names the source, by which the latest position is found, and a reserved metadata entry
// with the position. Both are removed from the responses of this protocol; other protocols show
// them. Clients of this protocol cannot write or query them otherwise.
const (
	trackingTag = "dcb:tracking:" // followed by the source
	trackingKey = "dcb:tracking"  // metadata: position, space, source
	// trackingType is the type of the event that stores a position which came without events.
	trackingType = "dcb:tracking"

	maxSourceBytes = dcb.MaxTagBytes - len(trackingTag)
)

// trackedPosition is the position stored for a source.
type trackedPosition struct {
	found    bool
	position uint64
	head     dcb.Position // of the store when the position was read
}

func checkSource(field, source string) error {
	switch {
	case source == "":
		return &dcb.InvalidError{Field: field, Problem: fmt.Sprintf("is empty; it must have 1 to %d bytes", maxSourceBytes)}
	case len(source) > maxSourceBytes:
		return &dcb.InvalidError{
			Field: field, Limit: maxSourceBytes,
			Problem: fmt.Sprintf("has %d bytes; the limit is %d", len(source), maxSourceBytes),
		}
	}
	return nil
}

// checkTags refuses reserved tags.
func checkTags(tags []string) *dcb.InvalidError {
	for i, tag := range tags {
		if strings.HasPrefix(tag, trackingTag) {
			return &dcb.InvalidError{
				Field: fmt.Sprintf("tags[%d]", i), Problem: "has the reserved prefix " + trackingTag + "; use tracking_info",
			}
		}
	}
	return nil
}

func taggedBy(source string) dcb.QueryItem {
	return dcb.QueryItem{Tags: []string{trackingTag + source}}
}

// lastTracked returns the latest position stored for source.
func (s *service) lastTracked(ctx context.Context, source string) (trackedPosition, error) {
	opts := dcb.ReadOptions{Backwards: true, Limit: 1}
	for head := dcb.Position(0); ; {
		result, err := s.server.store.Read(ctx, dcb.Query{taggedBy(source)}, opts)
		if err != nil {
			return trackedPosition{}, err
		}
		if opts.Before == 0 {
			head = result.Head
		}
		if len(result.Events) == 0 {
			return trackedPosition{head: head}, nil
		}
		if info, ok := trackingOf(&result.Events[0].Event); ok {
			return trackedPosition{true, info.GetPosition(), head}, nil
		}
		// An event of another protocol has the tag without the metadata. Older events are searched.
		opts.Before = result.Events[0].Position
	}
}

// trackingOf returns the tracking position that was stored with an event.
func trackingOf(e *dcb.Event) (*umadbv1.TrackingInfo, bool) {
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

// withoutTracking returns e without the reserved tag and metadata, and the tracking position that
// they contained. Info is nil if e was not tracked.
func withoutTracking(e *dcb.Event) (plain dcb.Event, info *umadbv1.TrackingInfo) {
	info, ok := trackingOf(e)
	if !ok {
		return *e, nil
	}
	plain = *e
	plain.Tags = slices.DeleteFunc(slices.Clone(e.Tags), func(tag string) bool { return tag == trackingTag+info.GetSource() })
	plain.Metadata = maps.Clone(e.Metadata)
	delete(plain.Metadata, trackingKey)
	return plain, info
}

// withTracking returns copies of events with the reserved tag and metadata for info.
func withTracking(events []dcb.Event, info *umadbv1.TrackingInfo) ([]dcb.Event, error) {
	if len(events) == 0 {
		events = []dcb.Event{{Type: trackingType}}
	}
	// First, so that an error names what the caller sent.
	if err := dcb.ValidateAppend(events, nil); err != nil {
		return nil, err
	}
	value := strconv.FormatUint(info.GetPosition(), 10) + " " + info.GetSource()
	tracked := make([]dcb.Event, len(events))
	for i, e := range events {
		tags := dcb.UniqueTags(e.Tags)
		if len(tags) == dcb.MaxTags {
			return nil, noSpaceForTracking(i, "tags", dcb.MaxTags)
		}
		if len(e.Metadata) == dcb.MaxMetadata {
			return nil, noSpaceForTracking(i, "metadata", dcb.MaxMetadata)
		}
		e.Tags = append(slices.Clone(tags), trackingTag+info.GetSource())
		e.Metadata = maps.Clone(e.Metadata)
		if e.Metadata == nil {
			e.Metadata = make(map[string]string, 1)
		}
		e.Metadata[trackingKey] = value
		tracked[i] = e
	}
	return tracked, nil
}

func noSpaceForTracking(event int, field string, limit int) error {
	return &dcb.InvalidError{
		Field: fmt.Sprintf("events[%d].%s", event, field), Limit: limit - 1,
		Problem: fmt.Sprintf("has %d entries; the limit is %d with a tracking_info", limit, limit-1),
	}
}

// appendTracked appends events together with a tracking position, which must be greater than the
// stored one.
//
// It first reads the stored position, at some head. The append then has the condition that no
// event after that head has the tag of the source, so it is atomic on every store. The caller's
// own condition is checked by a read for events up to the head, and by the append for later ones.
// If the append conflicts, another one came in between; the loop then reads again, and finds out
// whether the conflict is the caller's.
func (s *service) appendTracked(
	ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition, info *umadbv1.TrackingInfo,
) (dcb.Position, error) {
	if err := checkSource("tracking_info.source", info.GetSource()); err != nil {
		return 0, err
	}
	tracked, err := withTracking(events, info)
	if err != nil {
		return 0, err
	}
	guard := dcb.AppendCondition{FailIfEventsMatch: dcb.Query{taggedBy(info.GetSource())}}
	if condition != nil {
		guard.FailIfEventsMatch = append(slices.Clone(condition.FailIfEventsMatch), taggedBy(info.GetSource()))
	}
	for {
		stored, err := s.lastTracked(ctx, info.GetSource())
		if err != nil {
			return 0, err
		}
		if stored.found && info.GetPosition() <= stored.position {
			return s.repeatTracked(ctx, tracked, stored, info)
		}
		if condition != nil && stored.head > 0 {
			if err := s.check(ctx, condition, stored.head); err != nil {
				return 0, err
			}
		}
		guard.After = stored.head
		position, err := s.server.store.Append(ctx, tracked, &guard)
		if errors.Is(err, dcb.ErrConflict) {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			continue
		}
		if len(events) == 0 {
			position = 0 // the protocol has no position for an append without events
		}
		return position, err
	}
}

// repeatTracked answers an append whose tracking position is not greater than the stored one. If
// all events have IDs it may be a repetition of an append that succeeded. The store finds out: it
// checks IDs before the condition, and this condition always fails.
func (s *service) repeatTracked(
	ctx context.Context, tracked []dcb.Event, stored trackedPosition, info *umadbv1.TrackingInfo,
) (dcb.Position, error) {
	if !slices.ContainsFunc(tracked, func(e dcb.Event) bool { return e.ID == uuid.Nil }) {
		never := &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{taggedBy(info.GetSource())}}
		position, err := s.server.store.Append(ctx, tracked, never)
		if !errors.Is(err, dcb.ErrConflict) {
			return position, err
		}
	}
	return 0, &trackingError{info.GetPosition(), stored.position}
}
