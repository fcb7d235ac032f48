package journal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	peeks     = 20
	peekPause = 5 * time.Millisecond
)

// Peek returns what the journal in dir says, while another process may have
// it open. It takes no lock, writes nothing and works on a read-only file
// system. The error matches fs.ErrNotExist when there is no journal.
func Peek(dir string) (Record, []Checkpoint, error) {
	path := filepath.Join(dir, FileName)
	for try := 1; ; try++ {
		now, err := peek(path)
		switch {
		case err == nil:
			return now.record, now.checkpoints, nil
		case try == peeks || !isDamage(err) && !unreadable(err):
			return Record{}, nil, fmt.Errorf("read %s: %w", path, err)
		}
		time.Sleep(peekPause)
	}
}

// peek reads the bytes without bbolt, which would want a lock on the file.
// Pages that a meta page leads to are not written again before another meta
// page is. So a copy is good if both meta pages are the same after it as
// before; if not, or if the meta pages themselves were caught half-written, it
// may look damaged, and the next one will do.
func peek(path string) (*contents, error) {
	f, err := openRegular(path, os.O_RDONLY, Options{OpenFile: os.OpenFile})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := read(f)
	if err != nil {
		return nil, err
	}
	metas := make([]byte, min(2*pageSize, len(file)))
	if _, err := f.ReadAt(metas, 0); err != nil || !bytes.HasPrefix(file, metas) {
		return nil, damaged("written to while it was read")
	}
	_, now, err := understand(file)
	return now, err
}
