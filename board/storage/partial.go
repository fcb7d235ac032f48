package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Partial is NAME.otad-part, a package that is not complete yet. WriteAt, ReadAt and
// Sync may be called from several goroutines at a time. No other method may run
// at the same time as any method of the same Partial.
//
// An error of Sync is final: WriteAt, Truncate, Reserve, Sync and Publish
// return it from then on. After a failed fsync Linux marks the pages clean, so
// a second try reports success for bytes that never reached the medium, and
// reads come from memory that the medium does not hold
// (https://wiki.postgresql.org/wiki/Fsync_Errors; Rebello et al., "Can
// Applications Recover from fsync Failures?", USENIX ATC 2020). To go on, close
// the file, open it again, and write everything behind the last checkpoint once
// more.
type Partial struct {
	dir  *StateDir
	name string // of the package, without the suffix
	f    *os.File

	direct        *os.File    // the same file opened for direct reads and writes; nil if there are none
	directRefused atomic.Bool // a direct write was refused; use normal ones
	readsDirect   atomic.Bool // reads must not come from the page cache, which cannot be dropped

	failed atomic.Pointer[error] // the first error of a sync; nil while there is none
}

// OpenPartial opens NAME.otad-part for reading and writing and creates it, empty, if
// it is missing. Its directory entry is durable when OpenPartial returns:
// otherwise a power cut could remove the whole file although a checkpoint
// describes it. A name that a package cannot have is [ErrName]. OpenPartial may
// be called from any goroutine.
func (d *StateDir) OpenPartial(name string) (*Partial, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	// Find this out now and not when the complete package cannot be published.
	if st, err := d.lstat(name); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil, &fs.PathError{Op: "publish", Path: filepath.Join(d.path, name), Err: errIsDirectory}
	}
	// Only otad should read a package before it has been verified, so the mode
	// is 0600 until Publish.
	f, err := d.openOwn(name + partSuffix)
	if isForeign(err) {
		// Whatever it is, it is not the package, and its place is needed.
		if err := d.unlink(name + partSuffix); err != nil {
			return nil, err
		}
		f, err = d.openOwn(name + partSuffix)
	}
	if err != nil {
		return nil, err
	}
	direct, err := d.openDirect(name+partSuffix, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	p := &Partial{dir: d, name: name, f: f, direct: direct}
	// Sync also for a file that was there: a process that was killed between
	// the creation and this line left an entry that is only in memory. A crash
	// here leaves an empty NAME.otad-part that no checkpoint describes.
	if err := d.sync(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

var errIsDirectory = errors.New("a directory has the package's name: remove it or name the package otherwise")

// Published opens the package under its final name for reading. If there is
// none, the error matches [fs.ErrNotExist]; a name that a package cannot have
// is [ErrName]. The caller closes the file. Published may be called from any
// goroutine.
func (d *StateDir) Published(name string) (*os.File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return d.openAt(name, os.O_RDONLY, 0)
}

// RemovePartial deletes NAME.otad-part durably. A missing file is no error, and the
// directory is synced all the same: an earlier removal may have been cut short
// before its own sync. A name that a package cannot have is [ErrName].
// RemovePartial may be called from any goroutine.
func (d *StateDir) RemovePartial(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := d.unlink(name + partSuffix); err != nil {
		return err
	}
	// A crash here leaves NAME.otad-part whole or gone, never something between.
	return d.sync()
}

func (d *StateDir) unlink(name string) error {
	err := ignoringEINTR(func() error { return d.sys.unlink(int(d.dir.Fd()), name) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "remove", Path: filepath.Join(d.path, name), Err: err}
	}
	return nil
}

// WriteAt writes b at offset. After an error some of b may be in the file; none
// of it may be relied on. A full disk matches [unix.ENOSPC] or [unix.EDQUOT].
func (p *Partial) WriteAt(b []byte, offset int64) (int, error) {
	if err := p.checkFailed(); err != nil {
		return 0, err
	}
	n, err := p.write(b, offset)
	if err != nil {
		return n, fmt.Errorf("write %d bytes at %d: %w", len(b), offset, err)
	}
	return n, nil
}

// ReadAt reads into b from offset, as [io.ReaderAt] requires: fewer than len(b)
// bytes come with an error, which is io.EOF at the end of the file.
func (p *Partial) ReadAt(b []byte, offset int64) (int, error) {
	read := p.f.ReadAt
	if p.readsDirect.Load() && len(b) > 0 {
		read = p.readDirect
	}
	n, err := read(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read %d bytes at %d: %w", len(b), offset, err)
	}
	return n, err
}

// Size returns the length of the file in bytes. Not all of them need be
// durable.
func (p *Partial) Size() (int64, error) {
	st, err := p.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", p.name, err)
	}
	return st.Size(), nil
}

// Truncate cuts the file to size bytes and frees what Reserve allocated behind
// them. The new length is durable after the next Sync.
func (p *Partial) Truncate(size int64) error {
	if err := p.checkFailed(); err != nil {
		return err
	}
	if err := p.f.Truncate(size); err != nil {
		return fmt.Errorf("cut %s to %d bytes: %w", p.name, size, err)
	}
	return nil
}

// Sync makes every byte written before the call durable, and the length of the
// file with them. It uses fdatasync(2): the times of the file are not worth a
// write to flash. An error is final, see [Partial].
//
// After that it drops the file from the page cache, where normal writes have
// left it. A package is written once and not read again soon; in the page cache
// it would displace the programs that the board runs.
func (p *Partial) Sync() error {
	if err := p.checkFailed(); err != nil {
		return err
	}
	if err := p.withFD(p.dir.sys.fdatasync); err != nil {
		return p.setFailed(fmt.Errorf("sync %s: %w", p.name, err))
	}
	_ = p.withFD(p.dir.sys.fadvise) // only a hint: the bytes are durable
	return nil
}

// DropCache makes the following reads come from the medium. The kernel drops
// only clean pages, so the file must have been synced before. It is a hint:
// pages that a process has mapped stay, and so does a file system in memory.
// Where the kernel has no fadvise(2), the reads go past the page cache, if the
// file system can do that; [StateDir.CheckReadback] returns whether it can.
func (p *Partial) DropCache() error {
	err := p.withFD(p.dir.sys.fadvise)
	if errors.Is(err, unix.ENOSYS) {
		p.readsDirect.Store(p.direct != nil)
		return nil
	}
	if err != nil {
		return fmt.Errorf("drop %s from the page cache: %w", p.name, err)
	}
	return nil
}

// Close closes the file. It makes nothing durable.
func (p *Partial) Close() error {
	if p.direct != nil {
		_ = p.direct.Close() // WriteAt has returned the error of each direct write
	}
	return p.f.Close()
}

// checkFailed returns the error of the first failed sync, if there was one.
func (p *Partial) checkFailed() error {
	if err := p.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// setFailed records err as the final error, unless there is an earlier one, and
// returns the final error.
func (p *Partial) setFailed(err error) error {
	p.failed.CompareAndSwap(nil, &err)
	return *p.failed.Load()
}

// withFD runs a system call on the file descriptor and keeps the descriptor
// open until the call returns.
func (p *Partial) withFD(call func(fd int) error) error {
	raw, err := p.f.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) {
		err = ignoringEINTR(func() error { return call(int(fd)) })
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}
