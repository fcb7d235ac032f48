package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"otad/board/config"
	"otad/fsm"
)

// Build is what the build says of itself.
type Build struct {
	Version  string    // of otad
	Revision string    // of the source; empty: not known
	Time     time.Time // the board's clock cannot rightly be before it; zero: not known
}

// ErrStopped is a signal that came before the work was done.
var ErrStopped = errors.New("stopped by a signal; the same command goes on from the last checkpoint")

// Run does what cfg asks for until it is done or ctx ends. Results go to stdout,
// logs and progress to stderr.
func Run(ctx context.Context, cfg *config.Config, b Build, stdout, stderr *os.File) error {
	switch cfg.Command {
	case "serve":
		return serve(ctx, cfg, b, stderr)
	case "fetch":
		return fetch(ctx, cfg, b, stdout, stderr)
	case "status":
		return status(ctx, cfg, stdout)
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

// printf writes a result. That stdout cannot take it, because its disk is full
// for example, says nothing of the package, so the cause is told but not wrapped.
func printf(stdout io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(stdout, format, args...); err != nil {
		return fmt.Errorf("the result cannot be written to stdout: %v", err)
	}
	return nil
}
