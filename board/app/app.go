// Package app wires otad's packages together and runs its commands. It opens
// what a command needs, connects the parts, and waits until the command is done
// or stopped. It holds no other logic.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"time"

	"otad/board/config"
	"otad/fsm"
)

// Build describes the binary, as the build recorded it.
type Build struct {
	Version  string    // of otad
	Revision string    // of the source; empty: not known
	Time     time.Time // an earlier clock of the board is wrong; zero: not known
}

// ErrStopped is the error of Run when ctx ends before the command is done.
var ErrStopped = errors.New("stopped by a signal; the same command continues from the last checkpoint")

// Run runs the command of cfg until it is done or ctx ends. Results go to stdout,
// logs and progress to stderr. The error is ErrStopped when ctx ended, an
// [*fsm.Error] when the job failed, and else what kept the command from running.
func Run(ctx context.Context, cfg *config.Config, b Build, stdout, stderr *os.File) error {
	return new(Process).Run(ctx, cfg, b, stdout, stderr)
}

// Run is [Run] in the process p.
func (p *Process) Run(ctx context.Context, cfg *config.Config, b Build, stdout, stderr *os.File) error {
	switch cfg.Command {
	case "serve":
		return serve(ctx, p, cfg, b, stderr)
	case "fetch":
		return fetch(ctx, p, cfg, b, stdout, stderr)
	case "status":
		return status(ctx, cfg, stdout)
	case "check-config":
		if err := checkFiles(cfg, b, slog.New(slog.NewTextHandler(prefixed{stderr, new(logState)}, nil))); err != nil {
			return err
		}
		return printf(stdout, "the configuration is valid\n")
	case "graph":
		picture, err := fsm.Diagram(cfg.Format)
		if err != nil {
			return err
		}
		return printf(stdout, "%s", picture)
	default:
		return printf(stdout, "otad %s %s %s/%s\n", b.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	}
}

// checkFiles returns an error for a file that the configuration names and serve
// could not use.
func checkFiles(cfg *config.Config, b Build, log *slog.Logger) error {
	if _, err := readTokens(cfg.Serve, log); err != nil {
		return err
	}
	f, err := newFetcher(cfg, b)
	if err != nil {
		return err
	}
	f.Close()
	return checkCommand(cfg.Serve.Install)
}

// printf writes a result. Its error shows the cause but does not wrap it: that
// the disk of stdout is full must not be taken for a full state directory.
func printf(stdout io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(stdout, format, args...); err != nil {
		return fmt.Errorf("the result cannot be written to stdout: %v", err)
	}
	return nil
}
