package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

const (
	defaultLockTimeout = time.Second
	lockPoll           = 20 * time.Millisecond
	fileMode           = 0o600 // the URL in it may carry a signature
)

// Result is how [Open] found the journal.
type Result string

// The results of Open.
const (
	Clean    Result = "clean"     // readable
	Created  Result = "created"   // there was none
	Newer    Result = "newer"     // written by a newer otad, readable as far as [RecordVersion] says
	Rebuilt  Result = "rebuilt"   // readable, but bbolt could not use the file; a new file has the same content
	SetAside Result = "set_aside" // unreadable, moved to journal.db.corrupt; a new one was made
)

// Recovery is a Result and, for Newer, Rebuilt and SetAside, the reason.
type Recovery struct {
	Result Result
	Reason string
}

// Open opens the journal in the directory dir, which stays the caller's and open
// for as long as the journal. Open creates a missing journal and sets aside one
// that cannot be read; [Journal.Recovery] returns which. The caller holds a lock
// on the directory, so that no other otad moves files there. The error matches
// [ErrLocked] or [ErrUnusable].
func Open(dir *os.File, o Options) (*Journal, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = defaultLockTimeout
	}
	if o.OpenFile == nil {
		o.OpenFile = openAt
	}
	d := directory{dir, o.OpenFile}
	j, found, err := open(d, o)
	switch {
	case isDamage(err):
		found = Recovery{Result: SetAside, Reason: err.Error()}
		if o.BeforeQuarantine != nil {
			if err := o.BeforeQuarantine(); err != nil {
				return nil, openError(dir.Name(), err)
			}
		}
		if err = setAside(d); err == nil {
			j, err = createAndOpen(d, o)
		}
	case errors.Is(err, fs.ErrNotExist):
		found = Recovery{Result: Created}
		j, err = createAndOpen(d, o)
	}
	if err != nil {
		return nil, openError(dir.Name(), err)
	}
	j.recovery = found
	return j, nil
}

func createAndOpen(d directory, o Options) (*Journal, error) {
	img, err := emptyImage()
	if err == nil {
		err = create(d, img)
	}
	if err != nil {
		return nil, err
	}
	j, _, err := open(d, o)
	return j, err
}

// open opens an existing journal. A *damageError means that the file is no
// journal.
//
// What holds is never given up. If bbolt cannot open a file that was read, or
// did not return from it three times, a new file is made of what was read. So it
// is with a file that has a second name: bbolt would write to that one too.
func open(d directory, o Options) (*Journal, Recovery, error) {
	c, err := readJournal(d, o)
	if err != nil {
		return nil, Recovery{}, err
	}
	defer func() { c.f.Close() }() // no open file is left, unless c gave it to a journal
	suspect, mustCopy, err := c.suspect(d)
	if err != nil {
		return nil, Recovery{}, err
	}
	if suspect == "" {
		j, err := c.start(d, o)
		if !isDamage(err) {
			return j, c.recovery(), err
		}
		suspect, mustCopy = err.Error(), true
	}
	switch err := create(d, c.img); {
	case isFull(err) && !mustCopy:
		j, err := c.start(d, o) // there is no space for a copy
		return j, c.recovery(), err
	case err != nil:
		return nil, Recovery{}, err
	}
	c.f.Close()
	if c, err = readJournal(d, o); err != nil {
		return nil, Recovery{}, err
	}
	j, err := c.start(d, o)
	return j, Recovery{Result: Rebuilt, Reason: suspect}, err
}

// candidate is a journal's file that is locked and was read without bbolt.
type candidate struct {
	f     *os.File
	names int
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

// openBolt opens a verified file with bbolt and checks that bbolt reads the
// same content as verify. bbolt then owns f.
func openBolt(d directory, f *os.File, want *image) (db *bolt.DB, err error) {
	if err := markOpening(d); err != nil {
		return nil, err
	}
	defer clearOpening(d)
	var got *image
	err = catchFaults(func() error {
		if db, err = bolt.Open(f.Name(), fileMode, boltOptions(f)); err != nil {
			return err
		}
		got, err = load(db)
		return err
	})
	if err == nil && !got.equal(want) {
		err = damaged("bbolt reads something else than is written")
	}
	if err == nil {
		return db, nil
	}
	fault := (*faultError)(nil)
	if db != nil && !errors.As(err, &fault) {
		err = errors.Join(err, catchFaults(db.Close))
	}
	if errno := unix.Errno(0); errors.As(err, &errno) && !unreadable(err) {
		return nil, fmt.Errorf("open with bbolt: %w", err)
	}
	return nil, damaged("%v", err)
}

// boltOptions returns the options with which bbolt opens f, whatever its name.
func boltOptions(f *os.File) *bolt.Options {
	return &bolt.Options{
		// Not the kernel's page size, which may be 64 KiB: each commit writes
		// three pages.
		PageSize:     pageSize,
		Timeout:      defaultLockTimeout,
		FreelistType: bolt.FreelistArrayType,
		NoStatistics: true,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	}
}
