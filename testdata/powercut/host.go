package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"otad/testdata/otadrun"
)

// hostBoard runs otad on this machine: a file system of its kernel, on a loop
// device, on a FUSE file, on our disk. A boot mounts the file system and starts
// otad. A cut kills otad, and the disk answers EIO from then on.
type hostBoard struct {
	fs     fileSystem
	binary string
	file   string // our disk, as the kernel sees it
	mount  string
	log    string
	slot   *slotOnHost      // nil: packages are files
	otad   *otadrun.Process // nil: not started
}

// newHostBoard keeps its files in dir.
func newHostBoard(dir, binary string, fs fileSystem, d *disk, s *slot) (*hostBoard, error) {
	b := &hostBoard{fs: fs, binary: binary, file: filepath.Join(dir, "disk"), mount: filepath.Join(dir, "mount"), log: filepath.Join(dir, "otad.log")}
	if err := os.WriteFile(b.file, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Mkdir(b.mount, 0o755); err != nil {
		return nil, err
	}
	if s != nil {
		var err error
		if b.slot, err = newSlotOnHost(dir, s); err != nil {
			return nil, err
		}
	}
	return b, mountFUSE(b.file, d)
}

func (b *hostBoard) boot(_ context.Context, checkpoint string) (*found, error) {
	if err := b.fs.mount(b.file, b.mount); err != nil {
		return nil, err
	}
	state := filepath.Join(b.mount, stateFolder)
	if err := provide(state); err != nil {
		return nil, err
	}
	files, err := digests(state)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(b.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	const listen = "127.0.0.1:12315"
	args := []string{"serve", "-state-dir", state, "-listen", listen, "-allow-http", "-min-free", "1MiB",
		"-checkpoint", checkpoint, "-callback-url", "http://" + b.host() + "/callback"}
	for _, f := range tryFlags {
		args = append(args, "-"+f.name, f.value)
	}
	if b.slot != nil {
		if err := b.slot.attach(); err != nil {
			return nil, err
		}
		args = append(args, "-output", slotName+"="+b.slot.link)
	}
	cmd := otadrun.Command(b.binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if b.otad, err = otadrun.Start(cmd); err != nil {
		return nil, err
	}
	return &found{otad: otadrun.NewClient(listen), files: files}, nil
}

func (b *hostBoard) cut() (map[string]int64, error) {
	b.otad.Kill()
	b.otad = nil
	if b.slot != nil {
		b.slot.detach()
	}
	partials := make(map[string]int64)
	names, _ := filepath.Glob(filepath.Join(b.mount, stateFolder, "*.otad-part"))
	for _, name := range names {
		if st, err := os.Stat(name); err == nil {
			partials[filepath.Base(name)] = st.Size()
		}
	}
	err := unix.Unmount(b.mount, 0)
	if err != nil && err != unix.EINVAL { // EINVAL: not mounted
		return nil, fmt.Errorf("unmount: %w", err)
	}
	return partials, nil
}

func (b *hostBoard) host() string { return originAddress }

// provide makes the state directory, durably, on a new disk.
func provide(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// digests returns the MD5 of every file in dir.
func digests(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	for _, e := range entries {
		if files[e.Name()], err = otadrun.MD5(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}
