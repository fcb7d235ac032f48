package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// writableByOthers are the mode bits with which other users can write.
const writableByOthers = 0o022

// serviceUser is the name of the user that otad's packages make and run otad as.
const serviceUser = "otad"

// errNotOwn means that a name of otad's own leads to something that otad did not
// make.
var errNotOwn = errors.New("not a file of otad's user with one link")

// checkOwner returns an error if somebody else than otad's user and root can
// change the names in the directory: whoever can, decides what the board
// installs. sshd is as strict with its files (sshd_config(5), StrictModes).
//
// Root may use the directory of the user that the packages run otad as.
func (d *StateDir) checkOwner() error {
	var st unix.Stat_t
	if err := d.fstat(d.dir, &st); err != nil {
		return fmt.Errorf("state directory %s: %w", d.path, err)
	}
	self := os.Geteuid()
	owner := int(st.Uid)
	switch {
	case owner != 0 && owner != self && !(self == 0 && owner == d.sys.serviceUID()):
		return fmt.Errorf("state directory %s belongs to user %d, and otad runs as user %d: run it as the owner, or: chown -R %d %s",
			d.path, owner, self, self, d.path)
	case st.Mode&writableByOthers != 0:
		return fmt.Errorf("state directory %s can be written by other users (mode %04o): chmod go-w %s",
			d.path, st.Mode&0o7777, d.path)
	}
	d.uid, d.gid = owner, int(st.Gid)
	return nil
}

// serviceUID returns the number of serviceUser, -1 where there is none.
func serviceUID() int {
	users, _ := os.ReadFile("/etc/passwd") // passwd(5)
	return uidOf(string(users), serviceUser)
}

// uidOf returns the number of a user, -1 for none.
func uidOf(users, name string) int {
	for line := range strings.Lines(users) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		if fields := strings.Split(rest, ":"); len(fields) > 1 { // password and number come first
			if uid, err := strconv.Atoi(fields[1]); err == nil {
				return uid
			}
		}
	}
	return -1
}

// isForeign reports whether a name of otad's own cannot be used because of what
// it leads to: no regular file (a symbolic link is ELOOP, a socket ENXIO), or one
// that others can change.
func isForeign(err error) bool {
	return errors.Is(err, errNotOwn) || errors.Is(err, errNotRegular) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO)
}

// checkOwn returns an error that matches errNotOwn if f is not what otad makes. A
// second link, or another owner, would let somebody else change the bytes.
func (d *StateDir) checkOwn(f *os.File) error {
	var st unix.Stat_t
	err := d.fstat(f, &st)
	owner := int(st.Uid)
	trusted := owner == 0 || owner == os.Geteuid() || owner == d.uid
	if err == nil && (st.Nlink != 1 || !trusted) {
		err = errNotOwn
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: f.Name(), Err: err}
	}
	return nil
}

func (d *StateDir) fstat(f *os.File, st *unix.Stat_t) error {
	return ignoringEINTR(func() error { return unix.Fstat(int(f.Fd()), st) })
}

// openOwn opens a file of otad's own for reading and writing. It makes it, empty
// and with mode 0600, where there is none. A name that leads to something else
// is an error that isForeign accepts; nothing is changed then.
func (d *StateDir) openOwn(name string) (*os.File, error) {
	for {
		f, err := d.openAt(name, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			// O_EXCL: what appears in between is looked at, not used.
			f, err = d.openAt(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			if err == nil {
				err = d.giveToOwner(f)
			}
		}
		if err == nil {
			err = d.checkOwn(f)
		}
		if err != nil && f != nil {
			f.Close()
		}
		if err != nil {
			return nil, err
		}
		return f, nil
	}
}

// giveToOwner gives a file that root has made to the owner of the directory, who
// could not use it otherwise.
func (d *StateDir) giveToOwner(f *os.File) error {
	if os.Geteuid() != 0 || d.uid == 0 {
		return nil
	}
	return f.Chown(d.uid, d.gid)
}
