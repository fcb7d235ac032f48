package main

import (
	"bytes"
	"fmt"
)

// cpio is an archive in the "newc" format, which the kernel unpacks as the
// guest's first file system
// (Documentation/driver-api/early-userspace/buffer-format.rst in Linux).
type cpio struct {
	buf   bytes.Buffer
	inode int
}

const (
	cpioFolder = 0o040755
	cpioFile   = 0o100755 // whatever the guest gets it may run
)

func (c *cpio) folder(name string)               { c.entry(name, cpioFolder, nil) }
func (c *cpio) file(name string, content []byte) { c.entry(name, cpioFile, content) }

// bytes ends the archive.
func (c *cpio) bytes() []byte {
	c.entry("TRAILER!!!", 0, nil)
	return c.buf.Bytes()
}

func (c *cpio) entry(name string, mode int, content []byte) {
	c.inode++
	c.buf.WriteString("070701")
	for _, field := range []int{c.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0} {
		fmt.Fprintf(&c.buf, "%08x", field)
	}
	c.buf.WriteString(name + "\x00")
	c.pad()
	c.buf.Write(content)
	c.pad()
}

// pad goes on to the next multiple of four, as headers and contents must.
func (c *cpio) pad() {
	c.buf.Write(make([]byte, -c.buf.Len()&3))
}
