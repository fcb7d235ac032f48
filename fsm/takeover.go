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
	for len(w.waiting) > 0 {
		b := w.waiting[0]
		w.waiting = w.waiting[1:]
		if err := w.store(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// drop gives up the blocks of a body that did not take over.
func (w *diskWriter) drop() {
	for _, b := range w.waiting {
		w.dropped(int64(len(b.data)))
		w.free <- b
	}
	w.waiting = nil
}
