package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"

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
	text := line(p)
	if cfg.StatusJSON {
		if text, err = indented(p); err != nil {
			return err
		}
	}
	return printf(out, "%s", text)
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
	return deviceapi.ProgressOf(fsm.SnapshotOf(rec, checkpoints)), nil
}

func indented(p deviceapi.Progress) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(p)
	return b.String(), err
}

func line(p deviceapi.Progress) string {
	text := fmt.Sprintf("%s %d%%", p.State, p.Progress)
	if p.PackageName != "" {
		text += fmt.Sprintf("  %s %s  %d of %d bytes", p.PackageName, p.Version, p.BytesDurable, p.PackageSize)
	}
	if p.Error != nil {
		return text + "  " + *p.Error + "\n"
	}
	return text + "  " + p.Message + "\n"
}
