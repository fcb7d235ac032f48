package fsm

import (
	"context"
	"log/slog"
	"math/bits"
	"time"
)

// Distance spaces the log lines of one trouble that comes again and again: the
// 1st, 2nd, 4th, 8th time and so on, and after an hour of silence. The zero
// value is ready. One goroutine owns it.
type Distance struct {
	key   string
	times int
	last  time.Time // of a line
}

// Due counts one more time of the trouble called key, and reports how many there
// were and whether this one is worth a line. Another key begins anew.
func (d *Distance) Due(key string, now time.Time) (times int, due bool) {
	if key != d.key {
		*d = Distance{key: key}
	}
	d.times++
	due = bits.OnesCount(uint(d.times)) == 1 || now.Sub(d.last) >= time.Hour
	if due {
		d.last = now
	}
	return d.times, due
}

// quietHandler passes every line on at debug level. A job that is tried again
// for the hundredth time says nothing new.
type quietHandler struct{ next slog.Handler }

func quiet(log *slog.Logger) *slog.Logger { return slog.New(quietHandler{log.Handler()}) }

func (h quietHandler) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.next.Enabled(ctx, slog.LevelDebug)
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.next.Handle(ctx, r)
}

func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.next.WithAttrs(attrs)}
}

func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.next.WithGroup(name)}
}
