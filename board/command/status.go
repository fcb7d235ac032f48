package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"

	"otad/board/config"
	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
)

// status prints what the daemon says, or, where none runs, what the journal
// does. It disturbs neither: the journal is read without its lock.
func status(ctx context.Context, cfg *config.Config, out io.Writer) error {
	p, err := deviceapi.Ask(ctx, reachable(cfg.Listen))
	if errors.Is(err, deviceapi.ErrNotServing) {
		p, err = recorded(cfg.StateDir)
	}
	if err != nil {
		return err
	}
	if cfg.StatusJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(p)
	}
	return print(out, p)
}

// reachable is the address under which a daemon that listens everywhere is asked
// on this board.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return listen
}

func recorded(dir string) (deviceapi.Progress, error) {
	rec, checkpoints, err := journal.Peek(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return deviceapi.Progress{}, fmt.Errorf("no daemon answers, and there is no journal in %s: start otad serve, or name the right -state-dir", dir)
	}
	if err != nil {
		return deviceapi.Progress{}, err
	}
	return deviceapi.ProgressOf(fsm.Recorded(rec, checkpoints)), nil
}

func print(out io.Writer, p deviceapi.Progress) error {
	_, err := fmt.Fprintf(out, "%s %d%%", p.State, p.Progress)
	if p.PackageName != "" {
		fmt.Fprintf(out, "  %s %s  %d of %d bytes", p.PackageName, p.Version, p.BytesDurable, p.PackageSize)
	}
	if p.Error != nil {
		fmt.Fprintf(out, "  %s", *p.Error)
	} else {
		fmt.Fprintf(out, "  %s", p.Message)
	}
	fmt.Fprintln(out)
	return err
}
