package diskstore

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"

	"github.com/dcbstore/dcb"
)

var (
	// ErrNoStore means that the directory contains other files, but no store. It was left
	// unchanged.
	ErrNoStore = errors.New("diskstore: not a store")
	// ErrVersion means that a newer version of this program wrote the directory. Open it with
	// that version.
	ErrVersion = errors.New("diskstore: written by a newer version")
	// ErrLocked means that another process, or another Store of this process, has the directory
	// open. The error is also [dcb.ErrUnavailable].
	ErrLocked = errors.New("diskstore: in use")
)

// CorruptError reports damage on the disk. It matches [dcb.ErrCorrupt].
type CorruptError struct {
	// File is the path of the damaged file.
	File string
	// Offset is where in the file the damage was found, in bytes.
	Offset int64
	// Position is the position of the first affected event, or 0 if that is unknown.
	Position dcb.Position
	// Problem is what is wrong with the file.
	Problem error
	// Advice is what the operator can do about it; it may be empty.
	Advice string
}

func (e *CorruptError) Error() string {
	text := fmt.Sprintf("diskstore: %s is damaged at offset %d", e.File, e.Offset)
	if e.Position > 0 {
		text += fmt.Sprintf(", position %d", e.Position)
	}
	text += fmt.Sprintf(": %v", e.Problem)
	if e.Advice != "" {
		text += "; " + e.Advice
	}
	return text
}

// Is reports whether target is [dcb.ErrCorrupt].
func (e *CorruptError) Is(target error) bool { return target == dcb.ErrCorrupt }

// Unwrap returns e.Problem.
func (e *CorruptError) Unwrap() error { return e.Problem }

const adviceRestore = "restore the directory from a backup; dcbstore verify lists all damage"

// newCorruptError returns the error for damage that only a backup can repair. position is the first
// event that it affects.
func newCorruptError(path string, offset int64, position dcb.Position, problem error) *CorruptError {
	return &CorruptError{File: path, Offset: offset, Position: position, Problem: problem, Advice: adviceRestore}
}

// unavailable returns the error of a call that the store cannot serve now. If unknown is true,
// the append may be recorded all the same.
func unavailable(unknown bool, format string, args ...any) error {
	return &dcb.UnavailableError{OutcomeUnknown: unknown, Cause: fmt.Errorf("diskstore: "+format, args...)}
}

// readError translates an error of a read for the caller: an error of the file system becomes
// [dcb.ErrUnavailable], unless it reports damage.
func readError(err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok && !errors.Is(err, dcb.ErrCorrupt) {
		return unavailable(false, "read: %w", err)
	}
	return err
}

// lockedError returns the error for a directory that is already open.
func lockedError(dir string) error {
	err := fmt.Errorf("%w: %s is open in another process, or in another Store of this process; close it there", ErrLocked, dir)
	return &dcb.UnavailableError{Cause: err}
}

// catchFaults calls f, which reads mapped files, and turns a memory fault into an error. A fault
// happens where the disk cannot be read, or where the file was truncated after it was mapped.
func catchFaults(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface {
				runtime.Error
				Addr() uintptr
			})
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("diskstore: read a mapped file: %w: %w", fault, dcb.ErrCorrupt)
		}
	}()
	return f()
}
