package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"otad/board/config"
	"otad/board/console"
	"otad/board/deviceapi"
	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// The errors of status by which its exit code says what it has printed. Alone,
// and not within another error, they have no text for stderr (see Printed).
var (
	ErrJobFailed  = errors.New("the job has failed")
	ErrNobodyRuns = errors.New("no otad runs on the state directory")
)

// Printed reports whether the output of the run says already what err does.
func Printed(err error) bool { return err == ErrJobFailed || err == ErrNobodyRuns }

// report is what status found out.
type report struct {
	source   string // daemon or journal
	running  bool   // an otad is at work on the state directory
	progress deviceapi.Progress
	prefix   string // says who speaks, "" for the daemon
}

// The sources of a report.
const (
	fromDaemon  = "daemon"
	fromJournal = "journal"
)

// status prints the progress of the daemon or, if none runs, of the journal, once
// or until the job has ended.
func status(ctx context.Context, cfg *config.Config, out *os.File) error {
	look := func() (report, error) { return find(ctx, cfg) }
	if cfg.Watch {
		return newWatcher(cfg, out, look).run(ctx)
	}
	r, err := look()
	if err != nil {
		return err
	}
	text := r.line() + "\n"
	if cfg.StatusJSON {
		if text, err = r.json("  "); err != nil {
			return err
		}
	}
	if err := printf(out, "%s", text); err != nil {
		return err
	}
	return r.result()
}

// find asks the daemon and, where none answers, reads the journal. A state
// directory that was named is not answered for by the daemon of another.
func find(ctx context.Context, cfg *config.Config) (report, error) {
	dir := ""
	if cfg.DirGiven {
		var err error
		if dir, err = storage.Identity(cfg.StateDir); errors.Is(err, fs.ErrNotExist) {
			return report{}, missing(cfg.StateDir)
		} else if err != nil {
			return report{}, err
		}
	}
	p, err := ask(ctx, cfg.Listen, dir)
	switch {
	case err == nil:
		return report{source: fromDaemon, running: true, progress: p}, nil
	case errors.Is(err, deviceapi.ErrOtherStateDir):
		return recorded(cfg.StateDir, err.Error()+"; ")
	case errors.Is(err, deviceapi.ErrNotServing):
		return recorded(cfg.StateDir, "")
	}
	return report{}, err
}

func missing(dir string) error {
	return fmt.Errorf("the state directory %s is missing: mount it, start otad serve, or name the right -state-dir", dir)
}

// recorded returns what the journal in dir says, after what is known of daemons.
// The journal is read without its lock, so that status disturbs no other otad.
func recorded(dir, known string) (report, error) {
	running, err := storage.InUse(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return report{}, missing(dir)
	}
	if err != nil {
		return report{}, err
	}
	rec, checkpoints, err := journal.Peek(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && running:
		return report{}, fmt.Errorf("%san otad starts on %s: ask again", known, dir)
	case errors.Is(err, fs.ErrNotExist):
		return report{}, fmt.Errorf("%s%w, and there is no journal in %s: start otad serve, or name the right -state-dir", known, ErrNobodyRuns, dir)
	case err != nil:
		return report{}, err
	}
	r := report{source: fromJournal, running: running, progress: deviceapi.ProgressOf(fsm.SnapshotOf(rec, checkpoints)),
		prefix: "no daemon runs; the journal says "}
	switch {
	case running: // fetch, or a daemon with another -listen
		r.prefix = known + "an otad that does not answer here is at work on " + dir + "; the journal says "
	case known != "":
		r.prefix = known + "none runs on " + dir + "; the journal says "
	}
	return r, nil
}

// result returns the error that stands for the exit code.
func (r report) result() error {
	switch {
	case !r.running:
		return ErrNobodyRuns
	case r.progress.State == string(fsm.Failed), r.progress.Stage == string(fsm.StageFailed): // the installation
		return ErrJobFailed
	}
	return nil
}

// json returns the report as one line, or indented.
func (r report) json(indent string) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Source  string `json:"source"`
		Running bool   `json:"running"`
		deviceapi.Progress
	}{r.source, r.running, r.progress})
	return string(netio.PrintableLines(b.Bytes())), err
}

// line returns the report as one line of text.
func (r report) line() string {
	p := r.progress
	text := fmt.Sprintf("%s%s %d%%", r.prefix, p.State, p.Progress)
	if p.PackageName != "" {
		text += fmt.Sprintf("  %s %s  %d of %d bytes", p.PackageName, p.Version, p.BytesDurable, p.PackageSize)
	}
	if now := r.activity(); now != "" {
		text += "  " + now
	}
	return netio.Printable(text)
}

// activity returns what goes on: the rate and the time left, or in words. Only a
// daemon starts a failed job again.
func (r report) activity() string {
	switch p := r.progress; {
	case p.Error == nil && p.BytesPerSecond > 0:
		return console.Pace(p.BytesPerSecond, r.left())
	case p.Error == nil && p.Message == p.State:
		return ""
	case p.Error == nil:
		return p.Message
	case r.source != fromDaemon:
		return *p.Error
	case p.NextTrySeconds == nil:
		return *p.Error + "; not tried again"
	}
	return *r.progress.Error + "; " + r.nextTry()
}

// nextTry says when the failed job is started again.
func (r report) nextTry() string {
	return fmt.Sprintf("try %d in %v", r.progress.Tries+1, time.Duration(*r.progress.NextTrySeconds)*time.Second)
}

// left returns the time until the download is complete, below 0: not known.
func (r report) left() time.Duration {
	if r.progress.ETASeconds == nil {
		return -1
	}
	return time.Duration(*r.progress.ETASeconds) * time.Second
}
