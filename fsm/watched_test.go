package fsm_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// watchedJournal is the real journal under the eyes of a witness.
type watchedJournal struct {
	*journal.Journal
	*witness
}

func (j watchedJournal) Commit(cp journal.Checkpoint) error {
	if err := j.change("commit", cp.Offset); err != nil {
		return err
	}
	j.notAhead()
	j.judge(cp)
	return j.Journal.Commit(cp)
}

func (j watchedJournal) Rewind(cp journal.Checkpoint) error {
	if err := j.change("rewind", cp.Offset); err != nil {
		return err
	}
	j.judge(cp)
	return j.Journal.Rewind(cp)
}

func (j watchedJournal) Update(f func(*journal.Record)) (journal.Record, error) {
	if err := j.rig.faults.at("update", 0); err != nil {
		return j.Record(), err
	}
	j.notAhead()
	return j.Journal.Update(func(r *journal.Record) {
		from := stateIn(*r)
		f(r)
		if to := stateIn(*r); to != from {
			j.note("update " + string(to))
			j.entering(to, r.Job)
		}
	})
}

// entering checks what has to be durable before a state is written.
func (j watchedJournal) entering(to fsm.State, job journal.Job) {
	t := j.rig.t
	switch to {
	case fsm.Verifying:
		if at := newest(j.Checkpoints()); job.Size != 0 && at != job.Size {
			t.Errorf("Verifying is written while %d of %d bytes are claimed", at, job.Size)
		}
	case fsm.Ready:
		if j.exists("u.bin.part") || job.MD5 != "" && md5Of(t, j.rig.path(job.Name)) != job.MD5 {
			t.Error("Ready is written while the package is not published")
		}
	}
}

func (j watchedJournal) exists(name string) bool { return j.rig.exists(name) }

// watchedStore is the real state directory under the eyes of a witness.
type watchedStore struct {
	*storage.StateDir
	*witness
}

func (s watchedStore) OpenPartial(name string) (fsm.Partial, error) {
	if err := s.change("open", 0); err != nil {
		return nil, err
	}
	p, err := s.StateDir.OpenPartial(name)
	if err != nil {
		return nil, err
	}
	have, err := os.ReadFile(s.rig.path(name + ".part"))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handles++
	s.durable[name] = have
	return &watchedPartial{Partial: p, witness: s.witness, name: name}, nil
}

func (s watchedStore) RemovePartial(name string) error {
	if err := s.change("remove", 0); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.durable, name)
	s.mu.Unlock()
	return s.StateDir.RemovePartial(name)
}

func (s watchedStore) Writable() error {
	return errors.Join(s.rig.faults.at("look", 0), s.StateDir.Writable())
}

func (s watchedStore) Published(name string) (fsm.Published, error) {
	if err := s.rig.faults.at("published", 0); err != nil {
		return nil, err
	}
	f, err := s.StateDir.Published(name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handles++
	return watchedPublished{f, s.witness}, nil
}

// watchedPublished is the real package under the eyes of a witness.
type watchedPublished struct {
	*os.File
	*witness
}

func (p watchedPublished) Close() error {
	p.noteClose()
	return p.File.Close()
}

// watchedPartial is the real partial file under the eyes of a witness.
type watchedPartial struct {
	*storage.Partial
	*witness
	name    string
	pending []piece // written since the last sync; guarded by the witness
	broken  error   // of a sync that failed
}

type piece struct {
	offset int64
	data   []byte
}

func (p *watchedPartial) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.Partial.ReadAt(b, off)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read += int64(n)
	return n, err
}

func (p *watchedPartial) WriteAt(b []byte, off int64) (int, error) {
	if p.broken != nil {
		return 0, p.broken
	}
	if err := p.change("write", off); err != nil {
		return 0, err
	}
	p.mu.Lock()
	p.pending = append(p.pending, piece{off, slices.Clone(b)})
	p.mu.Unlock()
	return p.Partial.WriteAt(b, off)
}

func (p *watchedPartial) Sync() error {
	if p.broken != nil {
		return p.broken
	}
	p.mu.Lock()
	begun := p.pending
	p.pending = nil
	p.mu.Unlock()
	if err := p.change("sync", 0); err != nil {
		p.broken = err
		return errors.Join(err, p.lose(begun, err))
	}
	if err := p.Partial.Sync(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, piece := range begun {
		have := p.durable[p.name]
		have = append(have, make([]byte, max(0, piece.offset+int64(len(piece.data))-int64(len(have))))...)
		copy(have[piece.offset:], piece.data)
		p.durable[p.name] = have
	}
	return nil
}

// lose makes a failed sync what it can be: bytes that were written are zeros.
func (p *watchedPartial) lose(begun []piece, why error) error {
	if !errors.Is(why, errLost) {
		return nil
	}
	for _, piece := range begun {
		if _, err := p.Partial.WriteAt(make([]byte, len(piece.data)), piece.offset); err != nil {
			return err
		}
	}
	return nil
}

func (p *watchedPartial) Truncate(size int64) error {
	if p.broken != nil {
		return p.broken
	}
	if err := p.change("truncate", size); err != nil {
		return err
	}
	p.mu.Lock()
	have := p.durable[p.name]
	p.durable[p.name] = have[:min(size, int64(len(have)))]
	p.mu.Unlock()
	return p.Partial.Truncate(size)
}

// Reserve changes nothing that a power cut could take, and is only refused.
func (p *watchedPartial) Reserve(size, minFree int64) error {
	if err := p.rig.faults.at("reserve", size); err != nil {
		return err
	}
	return p.Partial.Reserve(size, minFree)
}

func (p *watchedPartial) DropCache() error {
	if err := p.change("drop", 0); err != nil {
		return err
	}
	return p.Partial.DropCache()
}

func (p *watchedPartial) Close() error {
	p.noteClose()
	return p.Partial.Close()
}

func (p *watchedPartial) Publish() error {
	if p.broken != nil {
		return p.broken
	}
	if err := p.change("publish", 0); err != nil {
		return err
	}
	return p.Partial.Publish()
}

// watchedSource is the real fetcher; it notes what is asked and when.
type watchedSource struct {
	fsm.Source
	*witness
}

func (s *watchedSource) Open(ctx context.Context, r netio.Request) (fsm.Body, error) {
	var size int64
	if st, err := os.Stat(s.rig.path(s.inner.Record().Job.Name + ".part")); err == nil {
		size = st.Size()
	}
	s.mu.Lock()
	s.asked = append(s.asked, watchedRequest{Request: r, at: time.Now(), read: s.read, size: size})
	s.mu.Unlock()
	return s.Source.Open(ctx, r)
}
