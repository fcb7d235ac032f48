package fsm

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"otad/journal"
)

// KeepAll is the value of [Config.Keep] with which no package is deleted.
const KeepAll = -1

// reserve makes sure that the package fits before its first byte is stored. A
// size of 0 is not known yet.
func (t *transfer) reserve(size int64) error {
	if size == 0 {
		return nil
	}
	return t.withRoom(func() error { return t.file.Reserve(size, t.cfg.MinFree) })
}

// withRoom calls do. Where there is no room for it, the oldest packages that otad
// has published for earlier jobs go.
func (t *transfer) withRoom(do func() error) error {
	for {
		err := do()
		if err == nil || !isFull(err) || !t.makeRoom(err) {
			return err
		}
	}
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// makeRoom deletes the oldest package that may go, and reports whether it did. It
// deletes none where all of them together are not enough.
func (t *transfer) makeRoom(full error) bool {
	var fixed interface{ Fixed() bool }
	if errors.As(full, &fixed) && fixed.Fixed() {
		return false // the package is larger than its device
	}
	rec := t.journal.record()
	list := removable(t.dir, rec, t.cfg.Keep)
	if len(list) == 0 || !suffices(list, full) {
		return false
	}
	p := list[0]
	removed, err := t.dir.RemovePublished(p.Name, func(info fs.FileInfo) bool { return publishedFile(p.Name, info) == p })
	if err != nil || !removed {
		t.log.Warn("an earlier package cannot be deleted to make room", "name", p.Name, "err", err)
		return false
	}
	t.log.Info("an earlier package was deleted to make room", "name", p.Name, "size", p.Size)
	t.report.packageRemoved()
	// A crash here leaves an entry without a file, which counts for nothing.
	_, err = t.journal.update(func(r *journal.Record) {
		r.Published = slices.DeleteFunc(r.Published, func(q journal.Published) bool { return q == p })
	})
	if err != nil {
		t.log.Warn("the journal still lists a deleted package", "name", p.Name, "err", err)
	}
	return true
}

// removable returns the packages that may go, oldest first: not that of the
// job's own name, not the newest ones that are kept, and none whose hand-over is
// still to be called back.
func removable(dir StateDir, rec journal.Record, keep int) []journal.Published {
	if keep == KeepAll {
		return nil
	}
	list := slices.DeleteFunc(rec.Published, func(p journal.Published) bool {
		return p.Name == rec.Job.Name || !isStill(dir, p)
	})
	handOvers := 0
	for _, e := range rec.Outbox {
		if State(e.State) == Ready {
			handOvers++
		}
	}
	return list[:max(0, len(list)-max(keep, handOvers))]
}

// suffices reports whether there is room without the packages, as far as the
// error has numbers.
func suffices(list []journal.Published, full error) bool {
	var space spaceError
	if !errors.As(full, &space) {
		return true
	}
	need, room := space.Space()
	for _, p := range list {
		room += p.Size
	}
	return room >= need
}
