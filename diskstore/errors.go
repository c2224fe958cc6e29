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
	// ErrNoStore: the directory holds something, but no store. It is left as it is.
	ErrNoStore = errors.New("diskstore: not a store")
	// ErrVersion: the directory was written by a newer version of this program. Open it with that.
	ErrVersion = errors.New("diskstore: written by a newer version")
	// ErrLocked: another process, or another Store of this one, has the directory open. It comes together with dcb.ErrUnavailable.
	ErrLocked = errors.New("diskstore: in use")
)

// CorruptError is the error of what is damaged on the disk. It is dcb.ErrCorrupt.
type CorruptError struct {
	// File is the path of the file that is damaged.
	File string
	// Offset is where in the file the damage was noticed, in bytes.
	Offset int64
	// Position is that of the first event that is affected, 0 if that is unknown.
	Position dcb.Position
	// Problem says what is wrong.
	Problem error
	// Advice says what can be done, if there is something.
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

// Unwrap returns what is wrong.
func (e *CorruptError) Unwrap() error { return e.Problem }

const adviceRestore = "restore the directory from a backup; dcbstore verify tells what else is damaged"

// unavailable returns the error of an append that could not be carried out now.
func unavailable(unknown bool, format string, args ...any) error {
	return &dcb.UnavailableError{OutcomeUnknown: unknown, Cause: fmt.Errorf("diskstore: "+format, args...)}
}

// classified returns the error of a read as the contract has it: what is nothing else is something that the system cannot do now.
func readError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && !errors.Is(err, dcb.ErrCorrupt) {
		return unavailable(false, "read: %w", err)
	}
	return err
}

// inUse returns the error of opening a directory that is open.
func lockedError(dir string) error {
	return &dcb.UnavailableError{Cause: fmt.Errorf("%w: another process, or another store of this one, has %s open; only one may", ErrLocked, dir)}
}

// guarded calls f, which reads mapped files. Where the disk cannot be read, or somebody has made a file shorter, that is a fault at an address,
// of which it makes an error.
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
			err = fmt.Errorf("diskstore: a file cannot be read: %w: %w", fault, dcb.ErrCorrupt)
		}
	}()
	return f()
}
