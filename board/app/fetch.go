package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"otad/board/config"
	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// redraw is how often the progress line is drawn anew.
const redraw = 200 * time.Millisecond

// fetch downloads one package in the foreground and prints where it is.
func fetch(ctx context.Context, cfg *config.Config, b Build, stdout, stderr *os.File) error {
	f := cfg.Fetch
	job := journal.Job{Version: f.Version, URL: f.URL, Name: f.Name, Size: f.Size, MD5: f.MD5, SHA256: f.SHA256}
	// Before anything is opened: a job that cannot be leaves no trace.
	if err := errors.Join(flagError(job.Validate()), netio.CheckURL(job.URL, cfg.Transfer.AllowHTTP)); err != nil {
		return err
	}
	log, view := newView(cfg, stderr)
	defer view.finish()
	ended := make(chan fsm.Snapshot, 1)
	r, err := open(cfg, b, log, func(c *fsm.Config) {
		c.FailOnJournalError = true
		c.OnChange = func(s fsm.Snapshot) {
			view.checkpoint(s)
			if s.State == fsm.Ready || s.State == fsm.Failed {
				select {
				case ended <- s:
				default:
				}
			}
		}
	})
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.adopt(ctx, job, f.Replace); err != nil {
		return err
	}
	if s := r.updater.Snapshot(); s.State == fsm.Ready {
		ended <- s // it was here already
	}
	last, err := r.work(ctx, view, ended)
	if err != nil {
		return err
	}
	if last.State == fsm.Failed {
		return fsm.ParseError(last.Error)
	}
	path := filepath.Join(r.dir.Path(), last.Name)
	if err := printf(stdout, "%s\n", path); err != nil {
		return fmt.Errorf("%s is ready, but %w", path, err)
	}
	return nil
}

// flagError returns a *journal.FieldError in err with the name that the field
// has on the command line. It returns any other err unchanged.
func flagError(err error) error {
	var field *journal.FieldError
	if !errors.As(err, &field) {
		return err
	}
	flag, ok := map[journal.Field]string{
		journal.FieldURL:    "the URL",
		journal.FieldMD5:    "-md5",
		journal.FieldSHA256: "-sha256",
	}[field.Field]
	if !ok {
		flag = "-" + string(field.Field) // -version, -name, -size
	}
	return fmt.Errorf("%s %s", flag, field.Problem)
}

func (r *rooms) adopt(ctx context.Context, job journal.Job, replace bool) error {
	err := flagError(r.updater.StartBeforeRun(ctx, job, replace))
	var unfinished *fsm.UnfinishedError
	if errors.As(err, &unfinished) {
		return fmt.Errorf("%w in %s: finish it first, or give it up with -replace", err, r.dir.Path())
	}
	return err
}

// work runs the updater until the job has ended or ctx has.
func (r *rooms) work(ctx context.Context, view view, ended <-chan fsm.Snapshot) (fsm.Snapshot, error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	gone := make(chan error, 1)
	go func() { gone <- r.updater.Run(running) }()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case s := <-ended:
			stop()
			return s, <-gone
		case err := <-gone:
			if err == nil {
				err = ErrStopped
			}
			return fsm.Snapshot{}, err
		case <-tick.C:
			view.tick(r.updater.Snapshot())
		}
	}
}
