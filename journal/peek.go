package journal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	peekAttempts = 20
	peekPause    = 5 * time.Millisecond
)

// Peek returns the content of the journal in dir, also while another process
// has it open. It takes no lock, writes nothing and works on a read-only file
// system. The error matches fs.ErrNotExist when there is no journal. Peek may
// be called from any goroutine.
func Peek(dir string) (Record, []Checkpoint, error) {
	path := filepath.Join(dir, FileName)
	file, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return Record{}, nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer file.Close()
	for attempt := 1; ; attempt++ {
		now, err := peek(directory{file, openAt})
		switch {
		case err == nil:
			return now.record, now.checkpoints, nil
		case attempt == peekAttempts || !isDamage(err) && !unreadable(err):
			return Record{}, nil, fmt.Errorf("read %s: %w", path, err)
		}
		time.Sleep(peekPause)
	}
}

// peek reads the file without bbolt, which would take a lock on it.
//
// A transaction never overwrites a page that the newest meta page leads to. So
// a copy is consistent if both meta pages are the same after reading as before.
// If they are not, or if a meta page was half-written, the copy may look
// damaged, and the next attempt will succeed.
func peek(d directory) (*contents, error) {
	f, _, err := d.openJournal(os.O_RDONLY)
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
	_, now, err := parse(file)
	return now, err
}
