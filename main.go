// Otad brings one update package onto an embedded Linux board and makes it
// Ready, whatever the network and the power do meanwhile.
//
//	otad serve   [flags]        the daemon that init starts
//	otad fetch   [flags] URL    one package in the foreground
//	otad status  [flags]        what the daemon, or else the journal, says
//	otad graph   [-format F]    the state machine as a picture
//	otad version
//
// Results go to stdout, logs and the progress bar to stderr. The exit code is
// the result:
//
//	 0  done
//	 1  the download failed; the same command goes on from the last checkpoint
//	 2  usage, configuration or state directory
//	 3  digest or size of the package is not what was asked for
//	 4  the disk is full
//	 5  another otad is at work on the same state directory
//	75  stopped by a signal; the same command goes on from the last checkpoint
package main

import (
	"context"
	"errors"
	"fmt"
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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	cfg, err := config.Parse(args, os.Environ(), os.Stdout)
	if err == nil {
		tune()
		// net/http writes there what a server says unasked, which may be anything.
		log.SetOutput(io.Discard)
		err = app.Run(ctx, cfg, build(), os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, config.ErrHelp) {
		fmt.Fprintln(os.Stderr, "otad:", err)
	}
	return exitCode(err)
}

// tune fits the Go runtime to a small board, unless the environment says
// otherwise. Half of the default heap growth costs a few per cent of CPU and
// saves a fifth of the memory that is not the program's own pages; still less
// growth saves nothing more, and a memory limit that is too small for what is
// alive collects without end (make bench-memory). Two more processors than there
// are keep the digest running while other stages are held in a sync: it costs
// nothing, and was worth a tenth of the time on two cores.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	}
}

func build() app.Build {
	b := app.Build{Version: version, Revision: revision}
	if seconds, err := strconv.ParseInt(built, 10, 64); err == nil && seconds > 0 {
		b.Time = time.Unix(seconds, 0)
	}
	return b
}

// exitCode is the result of a run as the process tells it.
func exitCode(err error) int {
	var job *fsm.Error
	switch {
	case err == nil, errors.Is(err, config.ErrHelp):
		return 0
	case errors.Is(err, app.ErrStopped):
		return 75 // EX_TEMPFAIL of sysexits(3): the same again may well succeed
	case errors.Is(err, storage.ErrLocked), errors.Is(err, journal.ErrLocked):
		return 5
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
