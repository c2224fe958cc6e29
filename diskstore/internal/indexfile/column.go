package indexfile

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// The column has an entry for each event. An entry never lies in two lines of the processor's cache: each line has as many as fit, and zeros behind them.
//
//	 0        4                                        64
//	┌────────┬───────────┬────────┬───────────┬───┬────┐
//	│ place  │ type 1,2,4│ place  │ type      │ … │ 0  │   12, 10 or 8 entries
//	└────────┴───────────┴────────┴───────────┴───┴────┘
//
// place: the offset of the event's record in its segment. type: the ID of its type, which is the rank of the type's key among those of the file. It has the
// width that the number of types needs.
const placeBytes = 4

// Event is an entry of the column.
type Event struct {
	Place uint32 // of the record in its segment
	Type  uint32 // the rank of the key of its type
}

// Event returns where the record of an event lies in its segment, and the ID of its type.
func (x *Index) Event(offset uint32) (place, typeID uint32, err error) {
	if offset >= x.header.Count {
		return 0, 0, fmt.Errorf("indexfile: %s: %w: there is no event %d of %d", x.pages.name, ErrBroken, offset, x.header.Count)
	}
	line, cell := x.cell(offset)
	b, err := x.pages.Bytes(line, alignment)
	if err != nil {
		return 0, 0, err
	}
	e, ok := x.entry(b[cell:])
	if !ok {
		return 0, 0, x.pages.broken(line, "a type that there is not")
	}
	return e.Place, e.Type, nil
}

// ReadEvents sets into to what Event returns for the events from offset on.
func (x *Index) ReadEvents(offset uint32, into []Event) (err error) {
	for i := range into {
		if into[i].Place, into[i].Type, err = x.Event(offset + uint32(i)); err != nil {
			return err
		}
	}
	return nil
}

// cell returns at what place of the file the line of an event begins, and where in it its entry.
func (x *Index) cell(offset uint32) (line, cell int64) {
	switch x.layout.typeBytes { // by a constant, the compiler divides without dividing
	case 1:
		line, cell = int64(offset/12), int64(offset%12)*5
	case 2:
		line, cell = int64(offset/10), int64(offset%10)*6
	default:
		line, cell = int64(offset/8), int64(offset%8)*8
	}
	return x.layout.column + line*alignment, cell
}

func (x *Index) entry(b []byte) (e Event, ok bool) {
	e.Place = binary.LittleEndian.Uint32(b)
	switch x.layout.typeBytes {
	case 1:
		e.Type = uint32(b[placeBytes])
	case 2:
		e.Type = uint32(binary.LittleEndian.Uint16(b[placeBytes:]))
	default:
		e.Type = binary.LittleEndian.Uint32(b[placeBytes:])
	}
	return e, uint64(e.Type) < x.header.terms[term.Type]
}

// columnWriter writes a column, line by line.
type columnWriter struct {
	to      io.Writer
	line    []byte
	perLine int64
	events  int64 // in the line
	width   int64 // of a type's ID
}

func (w *columnWriter) add(e Event) error {
	w.line = binary.LittleEndian.AppendUint32(w.line, e.Place)
	switch w.width {
	case 1:
		w.line = append(w.line, byte(e.Type))
	case 2:
		w.line = binary.LittleEndian.AppendUint16(w.line, uint16(e.Type))
	default:
		w.line = binary.LittleEndian.AppendUint32(w.line, e.Type)
	}
	if w.events++; w.events < w.perLine {
		return nil
	}
	return w.flush()
}

// flush ends a line, if one was begun.
func (w *columnWriter) flush() error {
	if w.events == 0 {
		return nil
	}
	line := w.line[:alignment]
	clear(line[len(w.line):])
	w.line, w.events = w.line[:0], 0
	_, err := w.to.Write(line)
	return err
}
