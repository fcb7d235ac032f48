package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// reserved is the size of the file from the start. A full disk must not stop
// the journal: that a download failed for lack of space is recorded there.
const reserved = 64 << 10

// create makes a journal with an empty record under another name and renames
// it when it is complete and durable, because bbolt cannot open a file whose
// first write was cut short. A crash before the rename leaves a file that the
// next create removes.
func create(dir string, o Options) (err error) {
	path := filepath.Join(dir, FileName+".new")
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}()
	_, raw, err := fit(Record{})
	if err != nil {
		return err
	}
	err = catchFaults(func() error {
		db, err := bolt.Open(path, fileMode, boltOptions(o.OpenFile))
		if err != nil {
			return err
		}
		return errors.Join(db.Update((&contents{raw: raw}).image().writeTo), db.Close())
	})
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := reserve(path); err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(dir, FileName)); err != nil {
		return err
	}
	return syncDir(dir)
}

// reserve writes every byte of the first 64 KiB and syncs them. Where blocks
// are overwritten in place, no later write needs space: with fallocate, one
// would still need space to note that a reserved block is now in use, and not
// every file system has fallocate. Where blocks are not overwritten in place
// (UBIFS, F2FS, btrfs), no space can be reserved.
func reserve(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, reserved)
	if _, err := f.ReadAt(buf, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := f.WriteAt(buf, 0); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes the names in dir durable.
//
// EINVAL is no error. Linux returns it when the file system has no fsync for
// directories: 9P before 9P2000.L, VirtualBox shares, HFS, and CIFS and FAT of
// old kernels. A program can do no more there, and an error would only keep
// otad from running. PostgreSQL (fsync_fname) ignores EINVAL here too. After
// any other error, EIO for example, the names may not be durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
