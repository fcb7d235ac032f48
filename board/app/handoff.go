package app

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"otad/board/config"
	"otad/board/installer"
)

// checkCommand returns an error for a command that could never be started.
func checkCommand(c config.Install) error {
	if len(c.Command) == 0 {
		return nil
	}
	path := c.Command[0]
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "run", Path: path, Err: unix.EISDIR}
	}
	if err == nil {
		if err = unix.Access(path, unix.X_OK); err != nil {
			err = &fs.PathError{Op: "run", Path: path, Err: err}
		}
	}
	if err != nil {
		return fmt.Errorf("-on-ready: %w: name an executable file", err)
	}
	return nil
}

// newInstaller returns what hands packages over, nil where nothing does.
func newInstaller(c config.Install, s *services) (*installer.Installer, error) {
	if len(c.Command) == 0 {
		return nil, nil
	}
	dir, err := filepath.Abs(s.dir.Path())
	if err != nil {
		return nil, err
	}
	return installer.New(installer.Config{Updater: s.updater, Command: c.Command, Dir: dir, Timeout: c.Timeout, Grace: c.Grace,
		MaxAge: c.MaxAge, OnRequest: c.OnRequest(), Log: s.log})
}

// handOff runs the installer. A stop of otad waits for its command.
func (p *Process) handOff(ctx context.Context, i *installer.Installer, grace time.Duration) error {
	p.installing.Store(int64(grace + installer.EndLimit))
	defer p.installing.Store(0)
	return i.Run(ctx)
}
