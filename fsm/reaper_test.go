package fsm_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
)

// reaper ends a process at one change of its state directory, as kill -9 does: what was written stays, what was not
// never will be. The directory goes on as a copy, made between two changes, and the process that still runs in this
// test program changes nothing any more.
type reaper struct {
	t      *testing.T
	dir    string // the state directory
	heir   string // directory for the copy
	at     int    // number of the change that is not made, counted from 1; 0: never
	cancel context.CancelFunc
	dead   chan struct{}

	mu    sync.Mutex
	steps int // changes so far
}

var errKilled = errors.New("the process was killed")

func newReaper(d *device, cancel context.CancelFunc) *reaper {
	r := &reaper{t: d.t, dir: d.dir, heir: d.t.TempDir(), at: d.killAt, cancel: cancel, dead: make(chan struct{})}
	d.killAt = 0
	return r
}

// do makes a change, unless the process is dead or dies of it. partly is what a kill in the middle leaves; nil: nothing.
func (r *reaper) do(change func() error, partly func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.struck() {
		return errKilled
	}
	r.steps++
	if r.steps != r.at {
		return change()
	}
	if partly != nil {
		partly()
	}
	r.bury()
	return errKilled
}

// kill ends the process between two changes.
func (r *reaper) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bury()
}

func (r *reaper) bury() {
	copyDir(r.t, r.heir, r.dir)
	close(r.dead)
	r.cancel()
}

// struck tells whether the process was killed.
func (r *reaper) struck() bool {
	select {
	case <-r.dead:
		return true
	default:
		return false
	}
}

// changes is how often the process has changed its state directory.
func (r *reaper) changes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steps
}

func copyDir(t *testing.T, to, from string) {
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		if err := copyFile(filepath.Join(to, e.Name()), filepath.Join(from, e.Name())); err != nil {
			t.Error(err)
		}
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, st.Mode())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// mortalJournal is the journal of a process that can be killed.
type mortalJournal struct {
	*journal.Journal
	reaper *reaper
}

func (j mortalJournal) Update(f func(*journal.Record)) (rec journal.Record, err error) {
	err = j.reaper.do(func() error {
		rec, err = j.Journal.Update(f)
		return err
	}, nil)
	return rec, err
}

func (j mortalJournal) Commit(cp journal.Checkpoint) error {
	return j.reaper.do(func() error { return j.Journal.Commit(cp) }, nil)
}

func (j mortalJournal) Rewind(cp journal.Checkpoint) error {
	return j.reaper.do(func() error { return j.Journal.Rewind(cp) }, nil)
}

// mortalStore is the state directory of a process that can be killed.
type mortalStore struct {
	*storage.StateDir
	reaper *reaper
}

func (s mortalStore) OpenPartial(name string) (_ fsm.Partial, err error) {
	p := mortalPartial{reaper: s.reaper}
	err = s.reaper.do(func() error {
		p.Partial, err = s.StateDir.OpenPartial(name)
		return err
	}, nil)
	return p, err
}

func (s mortalStore) RemovePartial(name string) error {
	return s.reaper.do(func() error { return s.StateDir.RemovePartial(name) }, nil)
}

func (s mortalStore) Published(name string) (fsm.Published, error) { return s.StateDir.Published(name) }

// mortalPartial is the partial file of a process that can be killed, in the middle of a write too.
type mortalPartial struct {
	*storage.Partial
	reaper *reaper
}

func (p mortalPartial) WriteAt(b []byte, off int64) (n int, err error) {
	err = p.reaper.do(func() error {
		n, err = p.Partial.WriteAt(b, off)
		return err
	}, func() { p.Partial.WriteAt(b[:len(b)/2], off) })
	return n, err
}

func (p mortalPartial) Truncate(size int64) error {
	return p.reaper.do(func() error { return p.Partial.Truncate(size) }, nil)
}

func (p mortalPartial) Reserve(size, minFree int64) error {
	return p.reaper.do(func() error { return p.Partial.Reserve(size, minFree) }, nil)
}

func (p mortalPartial) Sync() error { return p.reaper.do(p.Partial.Sync, nil) }

func (p mortalPartial) Publish() error { return p.reaper.do(p.Partial.Publish, nil) }
