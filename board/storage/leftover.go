package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// AdoptPartial gives NAME.part, as earlier versions named the partial file of a
// package, its present name, durably and in place of a file that has that name.
// The caller has read in the journal that an earlier version wrote it: otad takes
// no other NAME.part for its own. A missing file is no error. A name that a
// package cannot have is [ErrName]. AdoptPartial may be called from any goroutine.
func (d *StateDir) AdoptPartial(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	st, err := d.lstat(name + earlierSuffix)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil // no version of otad has made it
	}
	if err == nil {
		err = ignoringEINTR(func() error {
			return d.sys.rename(int(d.dir.Fd()), name+earlierSuffix, name+partSuffix)
		})
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rename %s%s to %s%s: %w", name, earlierSuffix, name, partSuffix, err)
	}
	// A crash here leaves one of the two names, and the next start calls
	// AdoptPartial again. Sync also without a file: the process before may have
	// been killed between its rename and its sync.
	return d.sync()
}

// RemovePartialsExcept deletes the partial files of all packages but the named
// ones, durably: without a record nothing shows what they hold, and their space
// is missing to the next package. The records of their devices go too; the
// devices are not touched. It returns the names, without the suffix, and how many
// bytes of the disk they had. It goes on after an error and returns all errors.
// It may be called from any goroutine.
func (d *StateDir) RemovePartialsExcept(packages ...string) (removed []string, size int64, err error) {
	names, err := d.names()
	if err != nil {
		return nil, 0, fmt.Errorf("list partial files: %w", err)
	}
	var errs []error
	for _, name := range names {
		// FAT keeps the letters of a name as they were first written. A package of an
		// earlier version can have a name that ends in the suffix.
		named := func(p string) bool {
			return strings.EqualFold(p+partSuffix, name) || strings.EqualFold(p+slotSuffix, name) || strings.EqualFold(p, name)
		}
		lower := strings.ToLower(name)
		if !strings.HasSuffix(lower, partSuffix) && !strings.HasSuffix(lower, slotSuffix) || slices.ContainsFunc(packages, named) {
			continue
		}
		st, err := d.lstat(name)
		if err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
			continue
		}
		if err := d.unlink(name); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, name[:len(name)-len(partSuffix)]) // slotSuffix is as long
		size += st.Blocks * statBlock
	}
	if len(removed) == 0 && errs == nil {
		return nil, 0, nil // a start writes nothing to the flash
	}
	// A crash here leaves some of the files to the next start.
	return removed, size, errors.Join(append(errs, d.sync())...)
}

// names returns the names in the directory, sorted.
func (d *StateDir) names() ([]string, error) {
	dir, err := d.openAgain()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// lstat describes what has that name, and follows no symbolic link.
func (d *StateDir) lstat(name string) (st unix.Stat_t, err error) {
	err = ignoringEINTR(func() error {
		return unix.Fstatat(int(d.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, err
}
