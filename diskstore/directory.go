package diskstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/dcbstore/dcb/internal/vfs"
)

// listing is the content of a store's directory.
type listing struct {
	segments   []vfs.Info // ascending
	indexes    []string   // ascending by the first position
	unfinished []string   // temporary files that a crash left
}

// list returns the files of the store in dir. It ignores files of other programs, unless there
// is no store; then it returns [ErrNoStore]. Hidden files and lost+found count as nothing, so
// that the root of a volume can hold a store.
func list(files vfs.FS, dir string) (listing, error) {
	infos, err := files.List(dir)
	if err != nil {
		return listing{}, fmt.Errorf("diskstore: list %s: %w", dir, err)
	}
	var found listing
	other := ""
	for _, info := range infos {
		_, isSegment := parseSegmentName(info.Name)
		_, _, isIndex := parseIndexName(info.Name)
		switch {
		case strings.HasPrefix(info.Name, ".") || info.Dir && info.Name == "lost+found":
		case info.Dir:
			other = info.Name
		case isSegment:
			found.segments = append(found.segments, info)
		case isIndex:
			found.indexes = append(found.indexes, info.Name)
		case isUnfinished(info.Name):
			found.unfinished = append(found.unfinished, info.Name)
		case info.Name != lockName:
			other = info.Name
		}
	}
	switch {
	case len(found.segments) > 0:
		return found, nil
	case len(found.indexes) > 0:
		return listing{}, newCorruptError(filepath.Join(dir, segmentName(1)), 0, 1, fs.ErrNotExist)
	case other != "":
		return listing{}, fmt.Errorf("%w: %s contains other files (%s) and no log; name an empty or a new directory", ErrNoStore, dir, other)
	}
	return found, nil
}

// isUnfinished reports whether name is a temporary file of a store.
func isUnfinished(name string) bool {
	of, ok := strings.CutSuffix(name, tmpSuffix)
	_, isSegment := parseSegmentName(of)
	_, _, isIndex := parseIndexName(of)
	return ok && (isSegment || isIndex || name == spareName)
}

// Exists reports whether dir contains a store. It changes nothing.
func Exists(dir string) (bool, error) {
	found, err := list(vfs.OS(), dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNoStore) {
		return false, nil
	}
	return len(found.segments) > 0, err
}
