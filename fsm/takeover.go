package fsm

import "context"

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
	if err := w.takeOver(); err != nil {
		return err
	}
	w.takeOver = nil
	b.flush = true // the bytes that these replace were durable
	for len(w.waiting) > 0 {
		b, w.waiting = w.waiting[0], w.waiting[1:]
		if err := w.store(ctx, b); err != nil {
			return err
		}
	}
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
