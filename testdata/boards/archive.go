package boards

import (
	"bytes"
	"fmt"
	"os"
)

// Archive is a cpio archive in the "newc" format, which the kernel unpacks as the
// guest's first file system
// (Documentation/driver-api/early-userspace/buffer-format.rst in Linux).
type Archive struct {
	buf   bytes.Buffer
	inode int
}

const (
	cpioFolder = 0o040755
	cpioFile   = 0o100755 // whatever the guest gets it may run
)

// Folder adds a folder. A folder has to be added before its files.
func (a *Archive) Folder(name string) { a.entry(name, cpioFolder, nil) }

// File adds a file with this content.
func (a *Archive) File(name string, content []byte) { a.entry(name, cpioFile, content) }

// Copy adds a file of this machine.
func (a *Archive) Copy(name, source string) error {
	content, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	a.File(name, content)
	return nil
}

// Bytes ends the archive.
func (a *Archive) Bytes() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.buf.Bytes()
}

func (a *Archive) entry(name string, mode int, content []byte) {
	a.inode++
	a.buf.WriteString("070701")
	for _, field := range []int{a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0} {
		fmt.Fprintf(&a.buf, "%08x", field)
	}
	a.buf.WriteString(name + "\x00")
	a.pad()
	a.buf.Write(content)
	a.pad()
}

// pad appends zeros up to the next multiple of four, where headers and contents
// must start.
func (a *Archive) pad() {
	a.buf.Write(make([]byte, -a.buf.Len()&3))
}
