package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"otad/board/config"
	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// status prints the progress of the daemon or, if none runs, of the journal. The
// journal is read without its lock, so that status disturbs no other otad.
func status(ctx context.Context, cfg *config.Config, out io.Writer) error {
	p, err := ask(ctx, cfg.Listen)
	served := err == nil
	if errors.Is(err, deviceapi.ErrNotServing) {
		p, err = recorded(cfg.StateDir)
	}
	if err != nil {
		return err
	}
	text := line(p, served)
	if cfg.StatusJSON {
		if text, err = indented(p); err != nil {
			return err
		}
	}
	return printf(out, "%s", text)
}

// recorded returns the progress that the journal holds.
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
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := enc.Encode(p)
	return string(netio.PrintableLines(b.Bytes())), err
}

// line returns the progress as one line. Only a daemon, of which served reports
// whether there is one, starts a failed job again.
func line(p deviceapi.Progress, served bool) string {
	text := fmt.Sprintf("%s %d%%", p.State, p.Progress)
	if p.PackageName != "" {
		text += fmt.Sprintf("  %s %s  %d of %d bytes", p.PackageName, p.Version, p.BytesDurable, p.PackageSize)
	}
	if p.SignedBy != "" {
		text += "  signed by " + p.SignedBy
	}
	switch {
	case p.Error == nil:
		text += "  " + p.Message
	case !served:
		text += "  " + *p.Error
	case p.NextTrySeconds == nil:
		text += "  " + *p.Error + "; not tried again"
	default:
		wait := time.Duration(*p.NextTrySeconds) * time.Second
		text += fmt.Sprintf("  %s; try %d in %v", *p.Error, p.Tries+1, wait)
	}
	return netio.Printable(text) + "\n"
}
