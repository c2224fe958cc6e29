package diskstore_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/vfs"
)

// slowMerges is a file system on which the files of merges are not written until the test
// resumes them.
type slowMerges struct {
	vfs.FS
	started chan struct{}
	resume  chan struct{}
	once    atomic.Bool
}

type slowFile struct {
	vfs.File
	on *slowMerges
}

func (f slowFile) WriteAt(p []byte, at int64) (int, error) {
	if !f.on.once.Swap(true) {
		close(f.on.started)
	}
	<-f.on.resume
	return f.File.WriteAt(p, at)
}

// Create returns a slow file for an index of more than 20 events, which only a merge writes.
func (s *slowMerges) Create(name string) (vfs.File, error) {
	file, err := s.FS.Create(name)
	var first, last int
	if n, _ := fmt.Sscanf(filepath.Base(name), "%d-%d.index", &first, &last); err == nil && n == 2 && last-first > 20 {
		return slowFile{file, s}, nil
	}
	return file, err
}

func TestAppendDoesNotWaitForMerge(t *testing.T) {
	t.Parallel()
	files := &slowMerges{FS: vfs.NewMem(), started: make(chan struct{}), resume: make(chan struct{})}
	s := open(t, dir, smallSegments(files))
	mustFinish(t, "appending while files are merged", func() {
		more := 0 // appends since the merge started
		for i := 0; more < 60; i++ {
			if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T", Tags: []string{fmt.Sprint(i)}, Data: make([]byte, 500)}}, nil); err != nil {
				t.Error(err)
				return
			}
			if files.once.Load() {
				more++
			}
		}
		close(files.resume)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
