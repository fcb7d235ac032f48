package fsm_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
)

// errLost is a sync that failed and whose bytes are not on the medium: reads
// give zeros from then on. Any other error of a sync leaves them there.
var errLost = errors.New("sync failed, bytes lost")

// change is called before each change of the state directory. After an error
// the change is not to be made: a fault was injected, or the process is killed.
func (p *process) change(op string, at int64) error {
	if err := p.rig.faults.at(op, at); err != nil {
		p.note("refused " + op)
		return err
	}
	if err := p.count(); err != nil {
		return err
	}
	switch op {
	case "rewind", "replace":
		p.note(fmt.Sprintf("%s %d", op, at))
	case "commit": // its begin and its end are noted
	case "update", "reserve", "scrub": // noted where it is a transition; takes nothing from a power cut
	default:
		p.note(op)
	}
	return nil
}

// checkedJournal is the real journal.
type checkedJournal struct {
	*journal.Journal
	p *process
}

func (j checkedJournal) Commit(cp journal.Checkpoint) error {
	if !j.p.committing.CompareAndSwap(false, true) {
		j.p.rig.t.Errorf("the commit at %d begins before the one before it has ended", cp.Offset)
	}
	defer j.p.committing.Store(false)
	j.p.note(fmt.Sprintf("commit %d", cp.Offset))
	if err := j.p.change("commit", cp.Offset); err != nil {
		return err
	}
	j.p.isNotShownYet(false)
	j.p.claimsOnlySyncedBytes(cp)
	err := j.Journal.Commit(cp)
	j.p.note(fmt.Sprintf("committed %d", cp.Offset))
	return err
}

func (j checkedJournal) Rewind(cp journal.Checkpoint) error {
	if err := j.p.change("rewind", cp.Offset); err != nil {
		return err
	}
	j.p.claimsOnlySyncedBytes(cp)
	rec := j.Record()
	j.p.isProved(rec, rec, newest(j.Checkpoints()), cp.Offset)
	return j.Journal.Rewind(cp)
}

func (j checkedJournal) Update(f func(*journal.Record)) (journal.Record, error) {
	if err := j.p.change("update", 0); err != nil {
		return j.Record(), err
	}
	return j.Journal.Update(j.watched(f))
}

func (j checkedJournal) Replace(cp journal.Checkpoint, f func(*journal.Record)) (journal.Record, error) {
	if err := j.p.change("replace", cp.Offset); err != nil {
		return j.Record(), err
	}
	f = j.watched(f)
	return j.Journal.Replace(cp, func(r *journal.Record) {
		f(r)
		j.p.claimsStagedBytes(cp, r.Staged)
	})
}

// watched returns f with the checks of what it changes.
func (j checkedJournal) watched(f func(*journal.Record)) func(*journal.Record) {
	held := newest(j.Checkpoints())
	return func(r *journal.Record) {
		before, from := *r, stateIn(*r)
		f(r)
		to := stateIn(*r)
		if before.Staged > 0 && r.Staged == 0 && r.Generation == before.Generation {
			j.p.isInPlace(j.Checkpoints()[0], before.Staged)
		}
		if r.Generation != before.Generation {
			j.p.isProved(before, *r, held, 0)
		}
		j.p.isNotShownYet(from != to && (to == fsm.Ready || to == fsm.Failed))
		if from != to {
			j.p.note("update " + string(to))
			j.p.mayEnter(to, r.Job)
		}
	}
}

func (j checkedJournal) Scrub() error {
	if err := j.p.change("scrub", 0); err != nil {
		return err
	}
	return j.Journal.Scrub()
}

// checkedStore is the real state directory.
type checkedStore struct {
	*storage.StateDir
	p *process
}

func (s checkedStore) OpenPartial(name string) (fsm.Partial, error) {
	if err := s.p.change("open", 0); err != nil {
		return nil, err
	}
	file, err := s.StateDir.OpenPartial(name)
	if err != nil {
		return nil, err
	}
	s.p.invariants.mu.Lock()
	defer s.p.invariants.mu.Unlock()
	s.p.opened++
	c := s.p.files[name]
	if c == nil {
		c = contents.get()
		s.p.files[name] = c
	}
	if err := c.read(file, s.p.journal.Checkpoints()); err != nil {
		return nil, err
	}
	return &checkedPartial{Partial: file, p: s.p, content: c}, nil
}

func (s checkedStore) RemovePartial(name string) error {
	if err := s.p.change("remove", 0); err != nil {
		return err
	}
	s.p.invariants.mu.Lock()
	if c := s.p.files[name]; c != nil {
		c.truncate(0)
	}
	s.p.invariants.mu.Unlock()
	return s.StateDir.RemovePartial(name)
}

func (s checkedStore) RemovePublished(name string, isIt func(fs.FileInfo) bool) (bool, error) {
	if err := s.p.change("remove published", 0); err != nil {
		return false, err
	}
	return s.StateDir.RemovePublished(name, isIt)
}

func (s checkedStore) Writable() error {
	return errors.Join(s.p.rig.faults.at("look", 0), s.StateDir.Writable())
}

func (s checkedStore) Free() (int64, error) {
	if s.p.rig.free > 0 {
		return s.p.rig.free, nil
	}
	return s.StateDir.Free()
}

func (s checkedStore) Published(name string) (fsm.Published, error) {
	if err := s.p.rig.faults.at("published", 0); err != nil {
		return nil, err
	}
	f, err := s.StateDir.Published(name)
	if err != nil {
		return nil, err
	}
	s.p.invariants.mu.Lock()
	defer s.p.invariants.mu.Unlock()
	s.p.opened++
	return checkedPublished{f, s.p}, nil
}

// checkedPublished is the real package.
type checkedPublished struct {
	*os.File
	p *process
}

func (f checkedPublished) Close() error {
	f.p.noteClose()
	return f.File.Close()
}

// checkedPartial is the real partial file.
type checkedPartial struct {
	*storage.Partial
	p       *process
	content *content // guarded by the mutex of the invariants
	broken  error    // of a sync that failed
}

func (f *checkedPartial) ReadAt(b []byte, off int64) (int, error) {
	if err := f.p.rig.faults.at("read", off); err != nil {
		return 0, err
	}
	n, err := f.Partial.ReadAt(b, off)
	f.p.invariants.mu.Lock()
	defer f.p.invariants.mu.Unlock()
	f.p.read += int64(n)
	return n, err
}

// change is the process's, unless a sync of the file has failed.
func (f *checkedPartial) change(op string, at int64) error {
	if f.broken != nil {
		return f.broken
	}
	return f.p.change(op, at)
}

func (f *checkedPartial) WriteAt(b []byte, off int64) (int, error) {
	if err := f.change("write", off); err != nil {
		if err == errKilledInIt {
			f.Partial.WriteAt(b[:len(b)/2], off)
		}
		return 0, err
	}
	if off < f.p.rig.object.Len() { // else it is staged
		f.p.leavesAtMostTwoIntervalsUnclaimed(off + int64(len(b)))
	}
	f.p.invariants.mu.Lock()
	f.content.write(b, off)
	f.p.invariants.mu.Unlock()
	return f.Partial.WriteAt(b, off)
}

func (f *checkedPartial) Sync() error {
	f.p.invariants.mu.Lock()
	begun := len(f.content.unsynced)
	f.p.invariants.mu.Unlock()
	if err := f.change("sync", 0); err != nil {
		if f.broken == nil {
			f.broken = err
			return errors.Join(err, f.lose(err))
		}
		return err
	}
	if err := f.Partial.Sync(); err != nil {
		return err
	}
	f.p.invariants.mu.Lock()
	defer f.p.invariants.mu.Unlock()
	f.content.unsynced = f.content.unsynced[begun:]
	return nil
}

// lose makes a failed sync what it can be: bytes that were written are zeros.
func (f *checkedPartial) lose(why error) error {
	if !errors.Is(why, errLost) {
		return nil
	}
	for _, e := range f.content.unsynced {
		if _, err := f.Partial.WriteAt(make([]byte, e.to-e.from), e.from); err != nil {
			return err
		}
	}
	return nil
}

func (f *checkedPartial) Truncate(size int64) error {
	if err := f.change("truncate", size); err != nil {
		return err
	}
	f.p.invariants.mu.Lock()
	f.content.truncate(size)
	f.p.invariants.mu.Unlock()
	return f.Partial.Truncate(size)
}

func (f *checkedPartial) Reserve(size, minFree int64) error {
	if err := f.change("reserve", size); err != nil {
		return err
	}
	return f.Partial.Reserve(size, minFree)
}

func (f *checkedPartial) DropCache() error {
	if err := f.p.rig.faults.at("drop", 0); err != nil {
		return err
	}
	f.p.note("drop")
	return f.Partial.DropCache()
}

func (f *checkedPartial) Publish(size int64) error {
	if err := f.change("publish", 0); err != nil {
		return err
	}
	return f.Partial.Publish(size)
}

func (f *checkedPartial) Close() error {
	f.p.noteClose()
	return f.Partial.Close()
}
