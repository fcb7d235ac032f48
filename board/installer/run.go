package installer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/metrics"
)

// journalRetry is how long a change that the journal refused waits for its next
// try.
const journalRetry = 5 * time.Second

// write makes a change durable, and tries for as long as the journal refuses it.
// It returns false if the change is not written: the package is not Ready any
// more, or otad stops.
func (i *Installer) write(ctx context.Context, id uint64, say fsm.InstallReport, change func(*journal.Install)) bool {
	for try := 0; ; try++ {
		// Without the end of ctx: the end of a command is written after it.
		err := i.cfg.Updater.SetInstall(context.WithoutCancel(ctx), id, func(in *journal.Install) error {
			change(in)
			return nil
		}, say)
		switch {
		case err == nil:
			return true
		case errors.Is(err, fsm.ErrNotReady):
			return false
		case try == 0:
			i.cfg.Log.Error("the journal does not take the state of the installation, trying again", "wait", journalRetry, "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(journalRetry):
		}
	}
}

// run runs the command once, unless that is of no use, and returns how long it is
// until the next turn.
func (i *Installer) run(ctx context.Context, h fsm.Handover) time.Duration {
	if ctx.Err() != nil {
		return never
	}
	now, err := i.cfg.Boot()
	if err != nil {
		i.cfg.Log.Error("the command is not started", "err", err)
		return journalRetry
	}
	if code, why := i.useless(h, now); code != "" {
		i.cfg.Log.Error("the installation failed", "name", h.Job.Name, "version", h.Job.Version, "err", string(code)+": "+why)
		i.write(ctx, h.ID, fsm.InstallReport{Result: metrics.InstallFailed}, func(in *journal.Install) { giveUp(in, code, why) })
		return 0
	}
	if !h.Intact && h.Install.State == "" {
		if i.missing != h.ID {
			i.missing = h.ID
			i.cfg.Log.Warn("nothing is installed: the package that was Ready is not there any more", "name", h.Job.Name)
		}
		return never
	}
	var in journal.Install
	var say fsm.InstallReport
	if fsm.InstallState(h.Install.State) == fsm.InstallRunning {
		say.Result = metrics.InstallInterrupted // of the run before
	}
	// From here on a power cut leaves the run counted.
	if !i.write(ctx, h.ID, say, func(next *journal.Install) {
		begun(next, i.boot)
		if i.cfg.MaxAge > 0 {
			counted(next, now)
		}
		in = *next
	}) {
		return 0
	}
	h.Install = in
	began := time.Now()
	e, mine := i.command(ctx, h)
	if !mine {
		return 0
	}
	next := in
	result := over(&next, e, i.boot)
	say = fsm.InstallReport{Result: result, Next: time.Duration(next.Wait) * time.Second}
	if e.refused == nil {
		say.Took = time.Since(began)
	}
	i.log(h, next, e)
	i.write(ctx, h.ID, say, func(in *journal.Install) { over(in, e, i.boot) })
	h.Install = next
	i.wait(h, say.Next)
	return 0
}

// useless returns why a run is not begun, and the installation failed.
func (i *Installer) useless(h fsm.Handover, now Boot) (fsm.Code, string) {
	in := h.Install
	switch {
	case isGivenUp(in):
		return fsm.InstallFailedCode, fmt.Sprintf("otad or the board ended during %d runs in a row", in.Cut+1)
	case in.Reboot != "":
		return "", "" // the package may be gone: it is installed
	case !h.Intact && in.State != "":
		return fsm.InstallFailedCode, "the package is not there any more"
	case i.expired(in, now):
		return fsm.PackageExpired, i.expiry(in, now)
	}
	return "", ""
}

// command starts the command and waits for its end. It returns false when the
// package is not the one that is Ready any more; the command is ended then.
func (i *Installer) command(ctx context.Context, h fsm.Handover) (e end, mine bool) {
	log := i.cfg.Log.With("attempt", h.Install.Attempt)
	log.Info("the installer is started", "command", i.cfg.Command[0], "event", event(h.Install), "name", h.Job.Name, "version", h.Job.Version)
	p, err := i.cfg.Start(environment(i.cfg.Dir, h), func(line string) { log.Info("installer", "line", line) })
	if err != nil {
		return end{Exit: Exit{Code: -1}, refused: err}, true
	}
	pid, started := p.ID()
	known := make(chan struct{})
	go func() { // the command is not to wait for a slow disk, nor its time limit
		defer close(known)
		i.write(ctx, h.ID, fsm.InstallReport{}, func(in *journal.Install) { in.PID, in.Started = pid, started })
	}()
	e, mine = i.await(ctx, p, h)
	<-known
	return e, mine
}

// await waits for the end of a run, and ends it when it is time.
func (i *Installer) await(ctx context.Context, p Process, h fsm.Handover) (end, bool) {
	ended := func(e end) (end, bool) {
		p.End()
		e.Exit = <-p.Ended() // its code does not count: who is ended may say anything
		e.Code = -1
		return e, true
	}
	limit, stop := time.After(i.cfg.Timeout), ctx.Done()
	var grace <-chan time.Time
	for {
		select {
		case exit := <-p.Ended():
			return end{Exit: exit}, true
		case <-limit:
			i.cfg.Log.Warn("the installer is ended: it is not done within -on-ready-timeout", "limit", i.cfg.Timeout)
			return ended(end{limit: i.cfg.Timeout})
		case <-stop:
			stop, grace = nil, time.After(i.cfg.Grace)
			i.cfg.Log.Info("waiting for the installer", "at_most", i.cfg.Grace)
		case <-grace:
			i.cfg.Log.Warn("the installer is ended, and runs again at the next start: otad stops", "grace", i.cfg.Grace)
			return ended(end{stopped: true})
		case <-i.wake:
			if now, ready := i.cfg.Updater.Handover(); ready && now.ID == h.ID {
				continue
			}
			i.cfg.Log.Warn("the installer is ended: its package was given up")
			ended(end{})
			return end{}, false
		}
	}
}

// log writes how a run ended.
func (i *Installer) log(h fsm.Handover, next journal.Install, e end) {
	log := i.cfg.Log.With("attempt", h.Install.Attempt, "name", h.Job.Name, "version", h.Job.Version)
	switch fsm.InstallState(next.State) {
	case fsm.InstallFailed:
		log.Error("the installation failed", "err", next.Error)
	case fsm.InstallWaiting:
		log.Warn("the installer is run again", "exit", e.Code, "wait", time.Duration(next.Wait)*time.Second, "line", e.Line)
	default:
		log.Info("the installer has ended", "exit", e.Code)
	}
}

// packagePath returns where the package is.
func packagePath(dir string, h fsm.Handover) string { return filepath.Join(dir, h.Job.Name) }
