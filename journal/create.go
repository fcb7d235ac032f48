package journal

import (
	"errors"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	// reserved is the size of the file from the start. A full disk must not stop
	// the journal: that a download failed for lack of space is recorded there.
	reserved = 64 << 10

	newName = FileName + ".new"
)

// create makes a journal that holds img under another name and renames it when
// it is complete and durable, because bbolt cannot open a file whose first write
// was cut short. A crash before the rename leaves a file that the next Open
// removes, and the journal that was there before, if any. On a full disk it
// deletes the journal that was set aside to make space.
func create(d directory, img *image) error {
	err := tryCreate(d, img)
	if isFull(err) {
		if err = d.remove(corruptName); err == nil {
			err = tryCreate(d, img)
		}
	}
	return err
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func tryCreate(d directory, img *image) (err error) {
	if err := d.remove(newName); err != nil {
		return err
	}
	f, err := d.open(newName, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close() // a second time if bbolt has closed it
			err = errors.Join(err, d.remove(newName))
		}
	}()
	err = catchFaults(func() error {
		db, err := bolt.Open(f.Name(), fileMode, boltOptions(f))
		if err != nil {
			return err
		}
		return errors.Join(db.Update(img.writeTo), db.Close())
	})
	if err != nil {
		return fmt.Errorf("make %s: %w", f.Name(), err)
	}
	if err := d.reserve(newName); err != nil {
		return err
	}
	if err := d.rename(newName, FileName); err != nil {
		return err
	}
	return d.sync()
}

// emptyImage is the content of a new journal.
func emptyImage() (*image, error) {
	_, raw, err := fit(Record{})
	return (&contents{raw: raw}).image(), err
}

// reserve writes every byte of the first 64 KiB and syncs them. Where blocks
// are overwritten in place, no later write needs space: with fallocate, one
// would still need space to note that a reserved block is now in use, and not
// every file system has fallocate. Where blocks are not overwritten in place
// (UBIFS, F2FS, btrfs), no space can be reserved.
func (d directory) reserve(name string) (err error) {
	f, err := d.open(name, os.O_RDWR)
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
