package journal

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// candidate is a journal's file that is locked and was read without bbolt.
type candidate struct {
	f     *os.File // nil: a journal has it
	names int      // of the file
	img   *image
	now   *contents
}

// readJournal removes what a create that was cut short has left, and reads the
// journal.
func readJournal(d directory, o Options) (_ *candidate, err error) {
	if d.exists(newName) {
		if err := d.remove(newName); err != nil {
			return nil, err
		}
	}
	d.hide(FileName)
	c := new(candidate)
	if c.f, c.names, err = d.openJournal(os.O_RDWR); err != nil {
		return nil, err
	}
	if err = lock(c.f, o.LockTimeout); err == nil {
		c.img, c.now, err = readAndCheck(d, c.f)
	}
	if err != nil {
		c.f.Close()
		return nil, err
	}
	return c, nil
}

// close closes the file, unless it is a journal's now.
func (c *candidate) close() {
	if c.f != nil {
		c.f.Close() // a second time if bbolt has closed it
	}
}

// suspect returns why a new file should be made, "" for no reason, and whether
// the old one may not be used as it is.
func (c *candidate) suspect(d directory) (why string, mustCopy bool, err error) {
	failed, err := failedOpens(d)
	switch {
	case err != nil:
		return "", false, err
	case c.names > 1:
		return fmt.Sprintf("the file has %d names", c.names), true, nil
	case failed >= maxFailedOpens:
		return fmt.Sprintf("%d starts in a row ended while it was being opened", maxFailedOpens), false, nil
	}
	return "", false, nil
}

func (c *candidate) recovery() Recovery {
	if c.now.newer != "" {
		return Recovery{Result: Newer, Reason: c.now.newer}
	}
	return Recovery{Result: Clean}
}

// start gives the open file, which is locked and checked, to bbolt: so bbolt
// cannot get another one.
func (c *candidate) start(d directory, o Options) (*Journal, error) {
	db, err := openBolt(d, c.f, c.img)
	if err != nil {
		return nil, err
	}
	j := &Journal{onCommit: o.OnCommit, dir: d, file: c.f, db: db}
	c.f = nil // the journal's now
	if len(c.now.checkpoints) > 0 {
		j.seq = c.now.checkpoints[0].Seq
	}
	j.published.Store(c.now)
	j.scrubDue = c.img.stale && c.now.record.Job.URL == "" || c.now.record.done() && d.exists(corruptName)
	return j, nil
}

// lock takes the lock that bbolt will take, before the file is read.
//
// The caller's lock on the directory keeps other otads out, but not a program
// that locks the file alone, such as the bbolt command. Without this lock the
// file could be read in the middle of that program's commit, look damaged and
// be set aside, and the download with it.
func lock(f *os.File, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			return os.NewSyscallError("flock", err)
		case time.Now().After(deadline):
			return ErrLocked
		default:
			time.Sleep(lockPoll)
		}
	}
}
