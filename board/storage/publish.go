package storage

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// publishedMode lets an installer under another user read the package. Secrets
// have no place in one: it travels through an object store and lies on every
// board.
const publishedMode = 0o644

// Publish gives the file its final name, in place of an older package of that
// name. When it returns without an error, NAME with all its bytes survives a
// power cut. On an error either name may be on the medium after one; calling
// OpenPartial or Published tells which. The file stays open.
func (p *Partial) Publish() error {
	if err := p.usable(); err != nil {
		return err
	}
	if err := p.openToAll(); err != nil {
		return err
	}
	// A crash here leaves NAME.part, maybe with its new mode.
	if err := p.syncWhole(); err != nil {
		return err
	}
	// A crash here leaves NAME.part, complete and durable.
	dir := int(p.dir.dir.Fd())
	if err := retry(func() error { return p.dir.sys.rename(dir, p.name+partSuffix, p.name) }); err != nil {
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
	// From here on it is NAME.
}

// openToAll sets the final mode. FAT has no modes and may refuse; there the
// mount options decide.
func (p *Partial) openToAll() error {
	err := p.control(func(fd int) error { return unix.Fchmod(fd, publishedMode) })
	if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("set the mode of %s: %w", p.name, err)
	}
	return nil
}

// syncWhole is Sync with everything about the file, its mode and entry included.
func (p *Partial) syncWhole() error {
	if err := p.control(p.dir.sys.fsync); err != nil {
		return p.fail(fmt.Errorf("sync %s: %w", p.name, err))
	}
	return nil
}
