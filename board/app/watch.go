package app

import (
	"context"
	"os"
	"strings"
	"time"

	"otad/board/config"
	"otad/board/console"
	"otad/fsm"
	"otad/netio"
)

const (
	watchEvery = time.Second
	// watchPatience is how long nobody may run: an init system starts a daemon that
	// was killed again after some seconds.
	watchPatience = 15 * time.Second
)

// watcher shows reports until the job has ended or ctx does. One goroutine owns
// it.
type watcher struct {
	look   func() (report, error)
	show   func(report) error
	finish func() // after the last report
}

// newWatcher returns one that shows a live line, where out can draw one, of a line
// for each change, or of JSON, an object a line.
func newWatcher(cfg *config.Config, out *os.File, look func() (report, error)) *watcher {
	w := &watcher{look: look, finish: func() {}}
	last := ""
	change := func(of, text string) error {
		if of == last {
			return nil
		}
		last = of
		return printf(out, "%s", text)
	}
	switch {
	case cfg.StatusJSON:
		w.show = func(r report) error {
			text, err := r.json("")
			if err != nil {
				return err
			}
			return change(text, text)
		}
	case canRedraw(out):
		bar := console.New(out, out)
		w.finish = bar.Finish
		w.show = func(r report) error {
			bar.Draw(r.console())
			return nil
		}
	default:
		w.show = func(r report) error {
			of := r // the rate changes all the time
			of.progress.BytesPerSecond, of.progress.ETASeconds, of.progress.BytesDurable, of.progress.NextTrySeconds = 0, nil, 0, nil
			return change(of.line(), r.line()+"\n")
		}
	}
	return w
}

// run returns the error of the last report, as status does.
func (w *watcher) run(ctx context.Context) error {
	defer w.finish()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var result error
	var ranAt time.Time // zero: none has run yet
	for {
		r, err := w.look()
		if ctx.Err() != nil {
			return result // the user ended it, and nothing has failed
		}
		if result = err; err == nil {
			if err := w.show(r); err != nil {
				return err
			}
			result = r.result()
		}
		if err == nil && r.running {
			ranAt = time.Now()
		}
		if err == nil && r.running && r.ended() || time.Since(ranAt) >= watchPatience {
			return result
		}
		select {
		case <-ctx.Done():
			return result
		case <-tick.C:
		}
	}
}

// ended reports whether nothing more happens to the job by itself.
func (r report) ended() bool {
	switch fsm.State(r.progress.State) {
	case fsm.Ready:
		return true
	case fsm.Failed:
		return r.progress.NextTrySeconds == nil
	}
	return false
}

// console returns the report as a line of a terminal.
func (r report) console() console.State {
	p := r.progress
	s := console.State{Name: netio.Printable(p.PackageName), Percent: p.Progress, Done: p.BytesDurable, Durable: p.BytesDurable,
		Size: p.PackageSize, BytesPerSecond: p.BytesPerSecond, Left: r.left(), ResumedFrom: p.ResumedFrom}
	if p.BytesPerSecond == 0 || r.source != fromDaemon || p.Error != nil {
		s.Message = netio.Printable(r.activity())
	}
	if p.Error != nil && p.NextTrySeconds != nil { // first, because a long error is cut
		s.Message = netio.Printable(r.nextTry() + ": " + *p.Error)
	}
	if r.source != fromDaemon {
		s.Message = strings.TrimSuffix(netio.Printable(r.prefix+p.State+"  "+s.Message), "  ")
	}
	return s
}
