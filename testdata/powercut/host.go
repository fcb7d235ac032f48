package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"otad/testdata/boards"
)

// hostBoard runs otad on this machine: a file system of its kernel, on a loop
// device, on a FUSE file, on our disk. A boot is a mount and a start of otad, a
// cut is SIGKILL and a disk that answers EIO from then on.
type hostBoard struct {
	fs     fileSystem
	binary string
	file   string // our disk, as the kernel sees it
	mount  string
	log    string
	otad   *exec.Cmd
}

// newHostBoard keeps its files in dir.
func newHostBoard(dir, binary string, fs fileSystem, d *disk) (*hostBoard, error) {
	b := &hostBoard{fs: fs, binary: binary, file: filepath.Join(dir, "disk"), mount: filepath.Join(dir, "mount"), log: filepath.Join(dir, "otad.log")}
	if err := os.WriteFile(b.file, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Mkdir(b.mount, 0o755); err != nil {
		return nil, err
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
	b.otad = boards.Child(b.binary, "serve", "-state-dir", state, "-listen", listen, "-allow-http", "-min-free", "1MiB",
		"-checkpoint", checkpoint, "-callback-url", "http://"+b.host()+"/callback")
	b.otad.Stdout, b.otad.Stderr = log, log
	if err := b.otad.Start(); err != nil {
		return nil, err
	}
	return &found{otad: newOtad("http://" + listen), files: files}, nil
}

func (b *hostBoard) cut() (map[string]int64, error) {
	boards.Kill(b.otad)
	b.otad = nil
	partials := make(map[string]int64)
	names, _ := filepath.Glob(filepath.Join(b.mount, stateFolder, "*.part"))
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

// provide makes the folder for otad's state, durably, on a disk that is new.
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

// digests reads every file in dir.
func digests(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string]string)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		sum := md5.Sum(content)
		files[e.Name()] = hex.EncodeToString(sum[:])
	}
	return files, nil
}
