package storage

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// publishedMode lets an installer that runs as another user read the package.
// A package is not secret: it is stored at the origin and on every board.
const publishedMode = 0o644

// Publish renames the file to its final name and replaces an older package of
// that name. The file has the package's size already. After Publish has returned
// without an error, NAME with all its bytes survives a power cut. After an error
// either name may be on the medium; [StateDir.OpenPartial] and
// [StateDir.Published] show which. The file stays open. No other method of p may
// run at the same time.
//
// If the directory is not the one at its path any more, nothing is changed and
// the error is a [*ReplacedError]: nobody would find the package.
func (p *Partial) Publish(int64) error {
	if err := p.checkFailed(); err != nil {
		return err
	}
	if err := p.dir.checkInPlace(); err != nil {
		return err
	}
	if err := p.setPublishedMode(); err != nil {
		return err
	}
	// A crash here leaves NAME.otad-part, maybe with its new mode.
	if err := p.syncWhole(); err != nil {
		return err
	}
	// A crash here leaves NAME.otad-part, complete and durable.
	dir := int(p.dir.dir.Fd())
	err := ignoringEINTR(func() error {
		return p.dir.sys.rename(dir, p.name+partSuffix, p.name)
	})
	if err != nil {
		return fmt.Errorf("publish %s: %w", p.name, err)
	}
	// A crash here leaves one of the two names, with all bytes; on FAT it can
	// be NAME with length 0. There the length is part of the directory entry,
	// rename makes a new entry without it, and the file's own sync fills it in.
	if err := p.syncWhole(); err != nil {
		return err
	}
	// A crash here leaves one of the two names, with all bytes.
	return p.dir.sync()
	// A crash from here on leaves NAME.
}

// setPublishedMode makes the file readable for every user. FAT has no modes
// and may refuse; there the mount options set them.
func (p *Partial) setPublishedMode() error {
	err := p.withFD(func(fd int) error { return p.dir.sys.fchmod(fd, publishedMode) })
	if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("set the mode of %s: %w", p.name, err)
	}
	return nil
}

// syncWhole makes the bytes and all metadata of the file durable, mode and
// directory entry included. Its errors are final, as those of Sync.
func (p *Partial) syncWhole() error {
	if err := p.withFD(p.dir.sys.fsync); err != nil {
		return p.setFailed(fmt.Errorf("sync %s: %w", p.name, err))
	}
	return nil
}
