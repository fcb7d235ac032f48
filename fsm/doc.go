// Package fsm is the heart of otad: an explicit state machine that brings one
// update package onto the board and makes it Ready.
//
// # Life cycle
//
//	u, err := fsm.New(deps, config)  // the state that the journal holds; nothing runs
//	err = u.StartBeforeRun(...)      // optional: the one job of a foreground fetch
//	go u.Run(ctx)                    // goes on with a job that was under way
//	err = u.Start(ctx, job)          // any goroutine; returns when Run has taken it
//	s := u.Snapshot()                // any goroutine; never waits for the disk
//	cancel()                         // Run checkpoints and returns
//
// [Updater.Run] is one goroutine, which owns the machine and fires its events.
// The work of a state (fetching, verifying) runs in a goroutine beside it, one
// at a time, and ends in the next event. [Updater.Start] and [Updater.Reset] run
// in Run's goroutine: they block until Run takes them and the journal has
// answered, or until their context ends. [Updater.Snapshot] and
// [Updater.Health] read memory and the last error.
//
// A package that is Ready may be handed over to an installer. [Updater.Handover]
// returns it, and [Updater.SetInstall] records what the installer does, beside the
// machine, which stays in Ready.
//
// # Promises
//
// The journal leads and the machine follows: a transition is durable before it
// is visible. A checkpoint never claims a byte that a power cut can take; the
// order is write, sync, commit, report (diskWriter.checkpoint enforces it). While
// an interval is committed the next one is written and synced, so at most two
// intervals of stored bytes are fetched again. Ready means that the digest of the
// bytes on disk is the job's: at a start, a journal that says so is believed only
// while the file is the one that was verified.
//
// # Errors
//
// A job that fails is no error of a method: the machine is in Failed then, and
// [Snapshot.Err] returns an [*Error] with its [Code] and [Reason]. Start returns
// [ErrBusy], a [*journal.FieldError] for a job that breaks a rule, or the
// journal's error. StartBeforeRun returns an [*UnfinishedError] as well. Run
// returns only an error of the journal.
package fsm
