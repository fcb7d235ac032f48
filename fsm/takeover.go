package fsm

import (
	"context"
	"errors"
	"io"
	"slices"
	"syscall"

	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// take stores b, or keeps it in memory until a body that takes over has its first
// interval there.
func (w *diskWriter) take(ctx context.Context, b *block) error {
	if w.takeOver == nil {
		return w.store(ctx, b)
	}
	w.waiting = append(w.waiting, b)
	if b.after.Offset < w.first {
		return nil
	}
	if err := w.takeOver(w.waiting); err != nil {
		return err
	}
	w.takeOver = nil
	w.next = w.saved
	w.next.Digest = slices.Clone(w.saved.Digest)
	for _, b := range w.waiting {
		w.free <- b
	}
	w.waiting = nil
	return nil
}

// takeOverAt returns how much of a body that takes over must be in memory: its
// first interval, or as much as leaves two blocks for what comes after it.
func takeOverAt(interval, size int64) int64 {
	return min(interval, size, (blockCount-2)*blockSize)
}

// drop gives up the blocks of a body that did not take over.
func (w *diskWriter) drop() {
	for _, b := range w.waiting {
		w.dropped(int64(len(b.data)))
		w.free <- b
	}
	w.waiting = nil
}

// takeOver gives up the held bytes for a body that begins at 0, and whose first
// interval is in first. At each moment the journal claims one of the two:
//
//	write the interval behind the package's end, sync   a cut leaves the held bytes
//	commit: it is claimed, where it is, and they not     a cut leaves the interval,
//	copy it to its place, sync                           and resume copies it
//	commit: it is in its place                           a cut leaves it there
//
// On a disk without room for both, the held bytes go first. The goroutine of the
// disk calls it.
func (t *transfer) takeOver(ctx context.Context, first []*block, asked journal.Record, info netio.BodyInfo) error {
	held, last := t.at.saved.Offset, first[len(first)-1].after
	staged := (max(info.Size, held) + blockSize - 1) / blockSize * blockSize // direct writes need whole sectors
	err := t.storeAt(staged, first)
	switch {
	case isFull(err), errors.Is(err, syscall.EFBIG):
		if err := t.startOver(metrics.RestartRangeIgnored, func(*journal.Record) {}); err != nil {
			return err
		}
		held, staged = 0, 0
		err = t.storeAt(0, first)
	case err == nil && ctx.Err() != nil:
		err = ctx.Err() // a stop gives up no bytes
	case err == nil:
		t.startsOver(metrics.RestartRangeIgnored)
	}
	if err != nil {
		return err
	}
	last.Digest = slices.Clone(last.Digest) // the block will be filled again
	err = t.journal.replace(last, func(r *journal.Record) {
		r.Generation++
		r.Staged = staged
		answerChange(asked, info, false)(r)
	})
	if err != nil {
		return err
	}
	t.report.discarded(held)
	t.at.saved = last
	t.report.rewound(0)
	t.report.durable(last.Offset)
	if staged > 0 {
		if err := t.journal.moveStaged(t.file); err != nil {
			return err
		}
		if err := t.file.Truncate(last.Offset); err != nil {
			return err
		}
	}
	return t.sized(asked, info)
}

// storeAt makes the blocks of the beginning of the package durable at off.
func (t *transfer) storeAt(off int64, first []*block) error {
	for _, b := range first {
		if _, err := t.file.WriteAt(b.data, off+b.offset()); err != nil {
			return err
		}
	}
	return t.file.Sync()
}

// moveStaged copies the bytes that the only checkpoint claims to their place, and
// then removes the mark that they are elsewhere. It may be called again at each
// moment. Bytes that the disk has lost are not copied; the checkpoint does not
// hold then.
func (w *journalWriter) moveStaged(file Partial) error {
	size, err := file.Size()
	if err != nil {
		return err
	}
	at, cp := w.record().Staged, w.checkpoints()[0]
	length := cp.Offset
	cp.Offset += at
	var unread *Error
	switch err := holds(file, size, cp); {
	case errors.As(err, &unread):
		return unread
	case err == nil:
		if _, err := io.Copy(io.NewOffsetWriter(file, 0), io.NewSectionReader(file, at, length)); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
	}
	_, err = w.update(func(r *journal.Record) { r.Staged = 0 })
	return err
}
