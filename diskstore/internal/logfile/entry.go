package logfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// A record is one event. Lengths and counts are varints (u).
//
//	┌──────┬───────────────────────┬──────────┬─────────────────────┬────────────┬───────────────────────────────────┬──────────┐
//	│flags │[CRC 4][recorded at 8] │ u type   │ u tags, each: u tag │ [ID 16]    │ [u entries, each: u key, u value] │ u data   │
//	└──────┴───────────────────────┴──────────┴─────────────────────┴────────────┴───────────────────────────────────┴──────────┘
//
// What is in brackets is there if its flag is set. CRC: CRC-32C of the event's position (8 bytes) and of all of the record but the CRC, begun with the salt.
// Metadata entries are sorted by key.
const (
	hasID       = 1 << iota // an ID
	hasMetadata             // metadata
	isOneOf                 // one of several in a frame: a checksum and a time of its own
	knownFlags  = hasID | hasMetadata | isOneOf
)

const (
	crcAt          = 1
	timeAt         = 5
	ownBytes       = 13 // of a record that is one of several, before the type
	recordOverhead = ownBytes + 16 + 4*5
	leastRecord    = 4 // flags, no type, no tags, no data
)

// Encoder is the frame of an append while it is made. It may be used again.
type Encoder struct {
	// Bytes is the frame.
	Bytes []byte
	// EntryOffsets says where in Bytes each record begins.
	EntryOffsets []uint32
}

// Encode makes the frame of events, which are valid, all but what only Seal can know.
func (d *Encoder) Encode(events []dcb.Event) {
	d.Bytes = append(d.Bytes[:0], make([]byte, RecordHeaderBytes)...)
	d.EntryOffsets = d.EntryOffsets[:0]
	flags := byte(0)
	if len(events) > 1 {
		flags = isOneOf
	}
	for i := range events {
		d.EntryOffsets = append(d.EntryOffsets, uint32(len(d.Bytes)))
		d.Bytes = appendRecord(d.Bytes, &events[i], flags)
	}
}

// Seal completes the frame, for the store with that salt. It returns the frame's checksum.
func (d *Encoder) Seal(salt Salt, first dcb.Position, recordedAt int64, behind uint32) uint32 {
	if len(d.EntryOffsets) > 1 {
		for i, from := range d.EntryOffsets {
			to := uint32(len(d.Bytes))
			if i+1 < len(d.EntryOffsets) {
				to = d.EntryOffsets[i+1]
			}
			record := d.Bytes[from:to]
			binary.LittleEndian.PutUint64(record[timeAt:], uint64(recordedAt))
			binary.LittleEndian.PutUint32(record[crcAt:], recordChecksum(salt, record, first+dcb.Position(i)))
		}
	}
	return seal(salt, d.Bytes, RecordHeader{First: first, RecordedAt: recordedAt, Count: uint32(len(d.EntryOffsets)), Unsynced: behind})
}

func recordChecksum(salt Salt, record []byte, position dcb.Position) uint32 {
	return crc32.Update(sumOn(sumOn(uint32(salt), uint64(position), 8), uint64(record[0]), 1), castagnoli, record[timeAt:])
}

func appendRecord(b []byte, e *dcb.Event, flags byte) []byte {
	if e.ID != uuid.Nil {
		flags |= hasID
	}
	if len(e.Metadata) > 0 {
		flags |= hasMetadata
	}
	b = append(b, flags)
	if flags&isOneOf != 0 {
		b = append(b, make([]byte, ownBytes-1)...)
	}
	b = appendText(b, e.Type)
	tags := dcb.UniqueTags(e.Tags)
	b = binary.AppendUvarint(b, uint64(len(tags)))
	for _, tag := range tags {
		b = appendText(b, tag)
	}
	if flags&hasID != 0 {
		b = append(b, e.ID[:]...)
	}
	if flags&hasMetadata != 0 {
		b = appendMetadata(b, e.Metadata)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Data)))
	return append(b, e.Data...)
}

func appendMetadata(b []byte, metadata map[string]string) []byte {
	var room [dcb.MaxMetadata]string // on the stack
	keys := room[:0]
	for key := range metadata {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, key := range keys {
		b = appendText(appendText(b, key), metadata[key])
	}
	return b
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// ReadEntries reads every record of the frame b, whose header h was read and believed, and calls each with what it finds: a view of the event, as View
// returns it, and where in b its record begins. The error is ErrBroken, or what each returned.
func ReadEntries(salt Salt, b []byte, h RecordHeader, each func(at uint32, e *dcb.SequencedEvent) error) error {
	var e dcb.SequencedEvent
	at := RecordHeaderBytes
	for i := range h.Count {
		r := reader{b: b[at:h.Bytes]}
		e.Position, e.RecordedAt = h.First+dcb.Position(i), at2time(h.RecordedAt)
		flags := r.record(&e.Event)
		if r.broken || flags&isOneOf != 0 != (h.Count > 1) {
			return fmt.Errorf("%w: record %d of the frame is no record", ErrBroken, i)
		}
		record := b[at : int(h.Bytes)-len(r.b)]
		if flags&isOneOf != 0 && !ownRight(salt, record, e.Position, h.RecordedAt) {
			return fmt.Errorf("%w: the checksum of record %d is wrong", ErrBroken, i)
		}
		if err := each(uint32(at), &e); err != nil {
			return err
		}
		at += len(record)
	}
	if at != int(h.Bytes) {
		return fmt.Errorf("%w: %d bytes behind the last record of the frame", ErrBroken, int(h.Bytes)-at)
	}
	return nil
}

func ownRight(salt Salt, record []byte, position dcb.Position, recordedAt int64) bool {
	return binary.LittleEndian.Uint32(record[crcAt:]) == recordChecksum(salt, record, position) &&
		binary.LittleEndian.Uint64(record[timeAt:]) == uint64(recordedAt)
}

// DecodeEntry sets e to a view of the event whose record begins at that place in the segment, which holds that position, unchecked: for
// what this process has itself written or read and checked. The event shares memory with the segment, but for its metadata; the capacity of e.Tags is
// used again.
func DecodeEntry(segment []byte, at uint32, position dcb.Position, e *dcb.SequencedEvent) error {
	_, err := view(segment, at, position, e)
	return err
}

// ReadEntry is View for what comes from a disk: the record's checksum, or its frame's, must be right, with that salt. The error is ErrBroken.
func ReadEntry(salt Salt, segment []byte, at uint32, position dcb.Position, e *dcb.SequencedEvent) error {
	if uint64(at) < SegmentHeaderBytes+RecordHeaderBytes || uint64(at) >= uint64(len(segment)) {
		return fmt.Errorf("%w: there is no record at offset %d of %d", ErrBroken, at, len(segment))
	}
	if segment[at]&isOneOf == 0 {
		return checkedAlone(salt, segment, at, position, e)
	}
	size, err := view(segment, at, position, e)
	if err != nil {
		return err
	}
	if record := segment[at : int(at)+size]; binary.LittleEndian.Uint32(record[crcAt:]) != recordChecksum(salt, record, position) {
		return fmt.Errorf("%w: the checksum of the record at offset %d is wrong", ErrBroken, at)
	}
	return nil
}

// checkedAlone is CheckedView for the record of an event that is alone in its frame.
func checkedAlone(salt Salt, segment []byte, at uint32, position dcb.Position, e *dcb.SequencedEvent) error {
	from := int(at) - RecordHeaderBytes
	h, err := ReadRecordHeader(salt, segment[from:])
	if errors.Is(err, ErrEnd) {
		return fmt.Errorf("%w: there are zeros where a frame was, at offset %d", ErrBroken, from)
	}
	if err != nil {
		return fmt.Errorf("the frame at offset %d: %w", from, err)
	}
	if h.First != position || h.Count != 1 {
		return fmt.Errorf("%w: the frame at offset %d has %d events from position %d", ErrBroken, from, h.Count, h.First)
	}
	size, err := view(segment[:from+int(h.Bytes)], at, position, e)
	if err == nil && size != int(h.Bytes)-RecordHeaderBytes {
		return fmt.Errorf("%w: the record at offset %d does not fill its frame", ErrBroken, at)
	}
	return err
}

func view(segment []byte, at uint32, position dcb.Position, e *dcb.SequencedEvent) (size int, err error) {
	if at < RecordHeaderBytes || uint64(at) >= uint64(len(segment)) {
		return 0, fmt.Errorf("%w: there is no record at offset %d of %d", ErrBroken, at, len(segment))
	}
	r := reader{b: segment[at:]}
	flags := r.record(&e.Event)
	if r.broken {
		return 0, fmt.Errorf("%w: what is at offset %d is no record", ErrBroken, at)
	}
	size = len(segment) - int(at) - len(r.b)
	recordedAt := decode(segment[at-RecordHeaderBytes:]).RecordedAt
	if flags&isOneOf != 0 {
		recordedAt = int64(binary.LittleEndian.Uint64(segment[int(at)+timeAt:]))
	}
	e.Position, e.RecordedAt = position, at2time(recordedAt)
	return size, nil
}

func at2time(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// reader takes a record apart. What is missing or too long makes it broken.
type reader struct {
	b      []byte
	broken bool
}

func (r *reader) record(e *dcb.Event) (flags byte) {
	head := r.bytes(1)
	if r.broken || head[0]&^knownFlags != 0 {
		r.broken = true
		return 0
	}
	flags = head[0]
	if flags&isOneOf != 0 {
		r.bytes(ownBytes - 1)
	}
	e.Type = r.text(dcb.MaxTypeBytes)
	tags := r.count(dcb.MaxTags)
	e.Tags = e.Tags[:0]
	for range tags {
		e.Tags = append(e.Tags, r.text(dcb.MaxTagBytes))
	}
	e.ID = uuid.Nil
	if flags&hasID != 0 {
		copy(e.ID[:], r.bytes(len(e.ID)))
	}
	e.Metadata = nil
	if flags&hasMetadata != 0 {
		e.Metadata = r.metadata()
	}
	e.Data = r.bytes(r.count(dcb.MaxDataBytes))
	return flags
}

func (r *reader) metadata() map[string]string {
	entries := r.count(dcb.MaxMetadata)
	metadata := make(map[string]string, entries)
	for range entries {
		key, value := r.text(dcb.MaxMetadataKeyBytes), r.text(dcb.MaxMetadataValueBytes)
		metadata[strings.Clone(key)] = strings.Clone(value)
	}
	return metadata
}

func (r *reader) text(limit int) string {
	b := r.bytes(r.count(limit))
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (r *reader) count(limit int) int {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > uint64(limit) {
		r.broken = true
		r.b = nil
		return 0
	}
	r.b = r.b[size:]
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.broken = true
		r.b = nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}
