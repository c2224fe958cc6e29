package vfs

import (
	"errors"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// errFull is the error of a full disk.
const errFull = windows.ERROR_DISK_FULL

func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// openFile is os.OpenFile, but lets the file be renamed and removed while it is open.
func openFile(name string, flags int) (*os.File, error) {
	access, mode := uint32(windows.GENERIC_READ), uint32(windows.OPEN_EXISTING)
	if flags&os.O_RDWR != 0 {
		access |= windows.GENERIC_WRITE
	}
	switch {
	case flags&os.O_EXCL != 0:
		mode = windows.CREATE_NEW
	case flags&os.O_CREATE != 0:
		mode = windows.OPEN_ALWAYS
	}
	handle, err := open(name, access, mode, windows.FILE_ATTRIBUTE_NORMAL)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(handle), name), nil
}

func open(name string, access, mode, attributes uint32) (windows.Handle, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return windows.InvalidHandle, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	return windows.CreateFile(path, access, share, nil, mode, attributes, 0)
}

// rename is os.Rename, but returns after the disk has the change.
func rename(from, to string) error {
	old, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	now, err := windows.UTF16PtrFromString(to)
	if err == nil {
		err = windows.MoveFileEx(old, now, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// syncDir flushes a directory, if the file system can do that. NTFS writes changes of names to
// its journal in order, and flushes the journal with each file. The errors below mean that the
// file system has no flush of directories.
func syncDir(name string) error {
	dir, err := open(name, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err == nil {
		err = errors.Join(windows.FlushFileBuffers(dir), windows.CloseHandle(dir))
	}
	for _, unable := range []error{
		windows.ERROR_ACCESS_DENIED, windows.ERROR_INVALID_FUNCTION, windows.ERROR_INVALID_HANDLE, windows.ERROR_NOT_SUPPORTED,
	} {
		if errors.Is(err, unable) {
			return nil
		}
	}
	if err != nil {
		return &fs.PathError{Op: "sync", Path: name, Err: err}
	}
	return nil
}

func lock(f *os.File) error {
	const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return err
}

func unlock(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, new(windows.Overlapped))
}

func mapFile(number uintptr, size int) ([]byte, error) {
	mapping, err := windows.CreateFileMapping(windows.Handle(number), nil, windows.PAGE_READONLY, 0, 0, nil)
	if err != nil {
		return nil, err
	}
	address, err := windows.MapViewOfFile(mapping, windows.FILE_MAP_READ, 0, 0, uintptr(size))
	if err := errors.Join(err, windows.CloseHandle(mapping)); err != nil { // the view stays valid
		return nil, err
	}
	// The address is outside Go's memory, so the conversion is safe. It is converted in place, because
	// vet reports unsafe.Pointer(address) as a mistake.
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&address))), size), nil
}

func unmapFile(bytes []byte) error {
	return windows.UnmapViewOfFile(uintptr(unsafe.Pointer(unsafe.SliceData(bytes))))
}
