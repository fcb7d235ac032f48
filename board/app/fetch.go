package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"otad/board/config"
	"otad/board/console"
	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// redraw is the time between two drawings of the progress line.
const redraw = 200 * time.Millisecond

// fetch downloads one package in the foreground and prints its path.
func fetch(ctx context.Context, p *Process, cfg *config.Config, b Build, stdout, stderr *os.File) error {
	queue := newLogQueue(stderr)
	defer queue.close(flushLimit)
	log, view := newProgressView(cfg, stderr, queue)
	defer view.finish()
	if err := takeURL(ctx, &cfg.Fetch, os.Stdin, log); err != nil {
		return err
	}
	trust, err := readTrust(cfg)
	if err == nil {
		err = takeSignature(&cfg.Fetch, trust)
	}
	if err != nil {
		return err
	}
	job := cfg.Fetch.Job
	// Checked before anything is opened: an invalid job leaves no trace.
	if err := errors.Join(flagError(job.Validate()), netio.CheckURL(job.URL, cfg.Source.AllowHTTP)); err != nil {
		return err
	}
	ended, worked := make(chan fsm.Snapshot, 1), false
	s, err := open(cfg, b, log, queue, func(c *fsm.Config) {
		c.FailOnJournalError = true
		c.OnChange = func(now fsm.Snapshot) {
			view.checkpoint(now)
			worked = worked || now.State.Active() // else the package was Ready already
			if now.State == fsm.Ready || now.State == fsm.Failed {
				select {
				case ended <- now:
				default:
				}
			}
		}
	})
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.startJob(ctx, job, cfg.Fetch.Replace); err != nil {
		return err
	}
	worked = worked || s.journal.Record().State != string(fsm.Ready)
	began := time.Now()
	last, err := s.runJob(ctx, p, view, ended)
	if err != nil {
		return err
	}
	if last.State == fsm.Failed {
		return last.Err()
	}
	var summary console.Summary
	if worked {
		summary = console.Summary{Size: last.Size, ResumedFrom: last.ResumedFrom,
			Elapsed: time.Since(began), Verified: digestNames(job, last)}
	}
	view.ready(last, summary)
	queue.flush(flushLimit) // on a terminal the result comes last
	path := cmp.Or(last.Output, filepath.Join(s.dir.Path(), last.Name))
	shown := path
	if console.IsTerminal(stdout) {
		shown = netio.Printable(path) // a program gets the name as it is
	}
	if err := printf(stdout, "%s\n", shown); err != nil {
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
		journal.FieldOutput: "-output",

		journal.FieldSignature:    "-signature",
		journal.FieldSignatureURL: "-signature",
	}[field.Field]
	if !ok {
		flag = "-" + string(field.Field) // -version, -name, -size
	}
	return fmt.Errorf("%s %s", flag, field.Problem)
}

// startJob starts the job before the updater runs, and completes the error when
// another job is unfinished.
func (s *services) startJob(ctx context.Context, job journal.Job, replace bool) error {
	err := flagError(s.updater.StartBeforeRun(ctx, job, replace))
	var unfinished *fsm.UnfinishedError
	if errors.As(err, &unfinished) {
		return fmt.Errorf("%w in %s: finish it first, or give it up with -replace", err, s.dir.Path())
	}
	return err
}

// runJob runs the updater until the job is Ready or Failed, or ctx ends. It
// returns the last snapshot of the job.
func (s *services) runJob(ctx context.Context, p *Process, view progressView, ended <-chan fsm.Snapshot) (fsm.Snapshot, error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- p.machine(running, s.updater.Run) }()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case last := <-ended:
			stop()
			return last, <-done
		case err := <-done:
			view.tick(s.updater.Snapshot()) // with the checkpoint of the stop
			if err == nil {
				err = ErrStopped
			}
			return fsm.Snapshot{}, err
		case <-tick.C:
			view.tick(s.updater.Snapshot())
		}
	}
}
