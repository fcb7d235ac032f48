// Otad downloads one update package at a time to an embedded Linux board. It
// resumes after a power cut or a network failure, and reports the package as
// Ready when it is durable and its digest is verified.
//
//	otad serve   [flags]        the daemon that init starts
//	otad fetch   [flags] URL    one package in the foreground
//	otad status  [flags]        the progress of the daemon, else of the journal
//	otad graph   [-format F]    the state machine as a diagram
//	otad check-config [flags]   whether the configuration is valid
//	otad version
//
// Results go to stdout, logs and the progress line to stderr. The exit code is
// the result:
//
//	 0  done
//	 1  the download failed; the same command continues from the last checkpoint
//	 2  usage, configuration or state directory
//	 3  the digest or the size of the package is not the one that was given
//	 4  the disk is full
//	 5  another otad uses the same state directory
//	75  stopped by a signal; the same command continues from the last checkpoint
//	    (serve ends with 0)
//
// Those of status say what it shows: 0 at work, idle or ready, 1 failed, 2 no
// answer, 3 no otad runs.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"otad/board/app"
	"otad/board/config"
	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
)

// Set by the build: -ldflags "-X main.version=1.2.3 -X main.revision=abc -X main.built=UNIXTIME".
var (
	version  = "dev"
	revision = ""
	built    = "0"
)

func main() {
	// A reader of the log that has died must not end otad. The signal is caught and
	// not ignored: what otad starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	hangup := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		signal.Notify(hangup, syscall.SIGHUP)
	}
	hungUp, hangUp := context.WithCancel(context.Background())
	ctx, _ := signal.NotifyContext(hungUp, syscall.SIGINT, syscall.SIGTERM)
	args := os.Args[1:]
	if !isServe(args) { // serve reloads
		go func() {
			<-hangup
			hangUp()
		}()
	}
	process := &app.Process{Reload: hangup, Reread: func() (*config.Config, error) {
		return config.Parse(args, os.Environ(), io.Discard)
	}}
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, process, args) }()
	select {
	case code := <-ended:
		os.Exit(code)
	case <-process.Overdue(ctx):
		os.Exit(stopCode(args))
	}
}

// run runs the command and returns the exit code.
func run(ctx context.Context, process *app.Process, args []string) int {
	cfg, err := config.Parse(args, os.Environ(), os.Stdout)
	if err == nil {
		tune()
		// net/http logs unrequested bytes of a server there, which may be anything.
		log.SetOutput(io.Discard)
		err = process.Run(ctx, cfg, build(), os.Stdout, os.Stderr)
	}
	if errors.Is(err, app.ErrStopped) && isServe(args) {
		return stopCode(args)
	}
	if err != nil && !errors.Is(err, config.ErrHelp) && !app.Printed(err) {
		app.PrintError(os.Stderr, err)
	}
	return exitCode(err)
}

func isServe(args []string) bool { return len(args) > 0 && args[0] == "serve" }

// stopCode returns the exit code of a command that a signal has stopped. A
// daemon that ends when it is told to has done its work.
func stopCode(args []string) int {
	if isServe(args) {
		return 0
	}
	return exitCode(app.ErrStopped)
}

// tune adapts the Go runtime to a small board, unless the environment sets it.
//
// GOGC=50 halves the default heap growth. It costs a few per cent of CPU and
// saves a fifth of the memory beyond the program's own pages. A lower value saves
// nothing more, and a memory limit below the live heap makes the garbage collector
// run without end (make bench-memory).
//
// Two more processors than the board has keep the digest running while other
// stages block in a sync. That is free, and saves a tenth of the time on two
// cores.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	}
}

// build returns what the linker flags recorded.
func build() app.Build {
	b := app.Build{Version: version, Revision: revision}
	if seconds, err := strconv.ParseInt(built, 10, 64); err == nil && seconds > 0 {
		b.Time = time.Unix(seconds, 0)
	}
	return b
}

// exitCode returns the exit code for the error of a run.
func exitCode(err error) int {
	var job *fsm.Error
	switch {
	case err == nil, errors.Is(err, config.ErrHelp):
		return 0
	case errors.Is(err, app.ErrStopped):
		return 75 // EX_TEMPFAIL of sysexits(3): the same command may succeed later
	case errors.Is(err, storage.ErrLocked), errors.Is(err, journal.ErrLocked):
		return 5
	case errors.Is(err, app.ErrNobodyRuns):
		return 3 // as in the scripts of init: the Linux Standard Base, "Init Script Actions"
	case errors.Is(err, app.ErrJobFailed):
		return exitCodeOf(fsm.DownloadFailed)
	case errors.As(err, &job):
		return exitCodeOf(job.Code)
	case errors.Is(err, syscall.ENOSPC):
		return exitCodeOf(fsm.DiskFull)
	default:
		return 2
	}
}

func exitCodeOf(code fsm.Code) int {
	switch code {
	case fsm.MD5Mismatch, fsm.SHA256Mismatch, fsm.PackageSizeMismatch:
		return 3
	case fsm.DiskFull:
		return 4
	default:
		return 1
	}
}
