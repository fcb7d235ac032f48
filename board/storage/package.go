package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Partial is NAME.part, a package that is not complete yet. WriteAt, ReadAt and
// Sync may be called from several goroutines at a time; the rest belongs to the
// one that opened it.
//
// An error of Sync is final: WriteAt, Truncate, Reserve, Sync and Publish answer
// it from then on. After a failed fsync Linux marks the pages clean, so a second
// try reports success over bytes that never reached the medium, and reads are
// served from memory that the medium does not hold (https://wiki.postgresql.org/wiki/Fsync_Errors;
// Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC
// 2020). The way on is to close the file, open it again and write everything
// behind the last checkpoint once more.
type Partial struct {
	dir  *StateDir
	name string // of the package, without the suffix
	f    *os.File

	direct     *os.File    // the same file, opened for writes past the page cache; nil: none can be made
	undirected atomic.Bool // one was refused: no more of them

	failed atomic.Pointer[error] // the first error of Sync; nil while there is none
}

// OpenPartial opens NAME.part for reading and writing and makes it, empty, when
// there is none. Its directory entry is durable when OpenPartial returns, so a
// checkpoint never speaks of a file that a power cut can take away whole.
func (d *StateDir) OpenPartial(name string) (*Partial, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	// Found out now, and not when the package is whole and cannot be published.
	var st unix.Stat_t
	err := unix.Fstatat(int(d.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil, &fs.PathError{Op: "publish", Path: filepath.Join(d.path, name), Err: errIsDirectory}
	}
	// Nobody but otad should read a package that has not been verified, so the
	// mode is 0600 until Publish. The package itself is no secret.
	f, err := d.openAt(name+partSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	direct, err := d.openDirect(name + partSuffix)
	if err != nil {
		f.Close()
		return nil, err
	}
	p := &Partial{dir: d, name: name, f: f, direct: direct}
	// Also for a file that was there: a process killed between making it and
	// this line left an entry that is only in memory. A crash here leaves an
	// empty NAME.part that no checkpoint speaks of.
	if err := d.sync(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

var errIsDirectory = errors.New("a directory has the package's name: remove it or name the package otherwise")

// Published opens the package under its final name for reading. There is none:
// [fs.ErrNotExist].
func (d *StateDir) Published(name string) (*os.File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return d.openAt(name, os.O_RDONLY, 0)
}

// RemovePartial deletes NAME.part durably. A file that is not there is fine, and
// the directory is synced all the same: an earlier removal may have been cut
// short before its own sync.
func (d *StateDir) RemovePartial(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := d.unlink(name + partSuffix); err != nil {
		return err
	}
	// A crash here leaves NAME.part whole or gone, never something between.
	return d.sync()
}

// RemoveAllPartials deletes every NAME.part durably. It is for a journal that
// cannot be read, when nothing is left that says what the files hold.
func (d *StateDir) RemoveAllPartials() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("list partial files: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), partSuffix) && !e.IsDir() {
			errs = append(errs, d.unlink(e.Name()))
		}
	}
	// A crash here leaves some of them, and the journal that nobody can read: the
	// next start comes by again.
	return errors.Join(append(errs, d.sync())...)
}

func (d *StateDir) unlink(name string) error {
	err := retry(func() error { return unix.Unlinkat(int(d.dir.Fd()), name, 0) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "remove", Path: filepath.Join(d.path, name), Err: err}
	}
	return nil
}

// WriteAt writes b at offset. On an error some of it may be in the file and
// none of it counts; a full disk shows as [unix.ENOSPC] or [unix.EDQUOT] to
// errors.Is.
func (p *Partial) WriteAt(b []byte, offset int64) (int, error) {
	if err := p.usable(); err != nil {
		return 0, err
	}
	n, err := p.write(b, offset)
	if err != nil {
		return n, fmt.Errorf("write %d bytes at %d: %w", len(b), offset, err)
	}
	return n, nil
}

// ReadAt reads into b from offset, as [io.ReaderAt] says.
func (p *Partial) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.f.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read %d bytes at %d: %w", len(b), offset, err)
	}
	return n, err
}

// Size is the length of the file in bytes, which says nothing about how many of
// them are durable.
func (p *Partial) Size() (int64, error) {
	st, err := p.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", p.name, err)
	}
	return st.Size(), nil
}

// Truncate cuts the file to size bytes and gives up what Reserve allocated
// behind them. The new length is durable with the next Sync.
func (p *Partial) Truncate(size int64) error {
	if err := p.usable(); err != nil {
		return err
	}
	if err := p.f.Truncate(size); err != nil {
		return fmt.Errorf("cut %s to %d bytes: %w", p.name, size, err)
	}
	return nil
}

// Sync makes every byte written before the call durable, and the length of the
// file with them. It is an fdatasync(2): times are not worth a write to flash.
// An error is final, see [Partial].
//
// Then it gives back the memory that the kernel holds some of them in, those that
// were not written past it. A package passes through a board's memory once; kept
// there it would push out the programs that run from it.
func (p *Partial) Sync() error {
	if err := p.usable(); err != nil {
		return err
	}
	if err := p.control(p.dir.sys.fdatasync); err != nil {
		return p.fail(fmt.Errorf("sync %s: %w", p.name, err))
	}
	_ = p.DropCache() // no more than advice: the bytes are durable
	return nil
}

// DropCache makes the reads that follow come from the medium. Only clean pages
// can be dropped, so it is for a file that was just synced. It is advice: pages
// that somebody maps stay, and so does a file system that lives in memory.
func (p *Partial) DropCache() error {
	err := p.control(func(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) })
	if err != nil {
		return fmt.Errorf("drop %s from the page cache: %w", p.name, err)
	}
	return nil
}

// Close closes the file. It makes nothing durable.
func (p *Partial) Close() error {
	if p.direct != nil {
		_ = p.direct.Close() // an error of a write is the write's to tell
	}
	return p.f.Close()
}

// usable answers the error that ended this file, if there was one.
func (p *Partial) usable() error {
	if err := p.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends the file with err, or with the error that came first.
func (p *Partial) fail(err error) error {
	p.failed.CompareAndSwap(nil, &err)
	return *p.failed.Load()
}

// control runs a system call on the descriptor, which stays open for as long.
func (p *Partial) control(call func(fd int) error) error {
	raw, err := p.f.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = retry(func() error { return call(int(fd)) }) }); e != nil {
		return e
	}
	return err
}
