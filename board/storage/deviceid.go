package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// deviceID is by what a device is known again. Numbers and names of devices are
// given out anew at each boot, so they are no part of it. The JSON keys are part
// of the format of a slot's record.
type deviceID struct {
	Size      int64  `json:"size"`                // bytes
	Partition int64  `json:"partition,omitempty"` // its number; 0: a whole disk
	Start     int64  `json:"start,omitempty"`     // of the partition, in units of 512 bytes
	UUID      string `json:"uuid,omitempty"`      // of the partition, in its table
	Disk      string `json:"disk,omitempty"`      // what the disk says of itself: serial number, WWID, CID, ...
	// Of a disk that says nothing of itself: where it is attached, and within one
	// boot the kernel's number of this attachment (Linux 5.15).
	Place string `json:"place,omitempty"`
	Boot  string `json:"boot,omitempty"`
	Seq   string `json:"seq,omitempty"`
	Inode uint64 `json:"inode,omitempty"` // of a plain file
}

// differs returns in what the device now is another one than id, "" if it is the
// same.
func (id deviceID) differs(now deviceID) string {
	switch {
	case id.Size != now.Size:
		return fmt.Sprintf("has %d bytes and had %d", now.Size, id.Size)
	case id.Inode != now.Inode:
		return "is another file"
	case id.Disk != now.Disk:
		return fmt.Sprintf("is on the disk %q and was on %q", now.Disk, id.Disk)
	case id.Partition != now.Partition, id.Start != now.Start, id.UUID != now.UUID:
		return fmt.Sprintf("is partition %d at %d (%s) and was %d at %d (%s)",
			now.Partition, now.Start, now.UUID, id.Partition, id.Start, id.UUID)
	case id.Place != now.Place:
		return fmt.Sprintf("is at %s and was at %s", now.Place, id.Place)
	case id.Boot == now.Boot && id.Seq != now.Seq:
		return "was attached anew"
	}
	return ""
}

// system is where the kernel describes devices. Tests have their own.
type system struct{ sys, proc string }

// diskNames are the files in which a disk says what it is: SCSI, SATA, NVMe, eMMC
// and SD, virtio, device mapper, RAID and loop devices.
var diskNames = [...]string{"wwid", "serial", "device/wwid", "device/serial", "device/cid", "dm/uuid", "md/uuid", "loop/backing_file"}

// identify returns the identity of a device or file of that size.
func (s system) identify(st *unix.Stat_t, size int64) deviceID {
	id := deviceID{Size: size}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		id.Inode = st.Ino
		return id
	}
	dir := s.block(uint64(st.Rdev))
	disk := dir
	if n, err := strconv.ParseInt(readLine(dir, "partition"), 10, 64); err == nil {
		disk = filepath.Dir(dir)
		id.Partition = n
		id.Start, _ = strconv.ParseInt(readLine(dir, "start"), 10, 64)
	}
	events, _ := os.ReadFile(filepath.Join(dir, "uevent"))
	for line := range strings.Lines(string(events)) {
		if uuid, ok := strings.CutPrefix(line, "PARTUUID="); ok {
			id.UUID = strings.TrimSpace(uuid)
		}
	}
	var names []string
	for _, name := range diskNames {
		if text := readLine(disk, name); text != "" {
			names = append(names, text)
		}
	}
	if id.Disk = bounded(strings.Join(names, " ")); id.Disk == "" {
		id.Place = bounded(strings.TrimPrefix(dir, s.sys))
		id.Boot, id.Seq = s.bootID(), readLine(disk, "diskseq")
	}
	return id
}

// block returns the directory in which the kernel describes a block device, with
// no link in its path; its parent is the disk of a partition.
func (s system) block(rdev uint64) string {
	link := filepath.Join(s.sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(rdev), unix.Minor(rdev)))
	target, err := os.Readlink(link)
	if err != nil {
		return link // without sysfs there is nothing in it
	}
	if filepath.IsAbs(target) {
		return target
	}
	return filepath.Join(filepath.Dir(link), target)
}

// bootID returns what differs from one boot to the next (random(4)).
func (s system) bootID() string { return readLine(s.proc, "sys/kernel/random/boot_id") }

// writes returns what changes when anything is written to the device, "" where
// that cannot be found out: of a file its times, of a device the kernel's counts
// of writes and discards in this boot, which belong to this attachment
// (Documentation/block/stat.rst).
func (s system) writes(st *unix.Stat_t) string {
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return fmt.Sprintf("%d.%09d %d.%09d", st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec)
	}
	dir := s.block(uint64(st.Rdev))
	disk := dir
	if readLine(dir, "partition") != "" {
		disk = filepath.Dir(dir)
	}
	fields, boot := strings.Fields(readLine(dir, "stat")), s.bootID()
	const writeIOs, writeSectors, discardIOs = 4, 6, 11
	if boot == "" || len(fields) <= writeSectors || readLine(disk, "queue/iostats") != "1" {
		return ""
	}
	discards := "0"
	if len(fields) > discardIOs { // Linux 4.18
		discards = fields[discardIOs]
	}
	return strings.Join([]string{boot, readLine(disk, "diskseq"), fields[writeIOs], fields[writeSectors], discards}, " ")
}

// number returns a number for a text, another one for another text.
func number(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}

// bounded cuts what a disk says of itself.
func bounded(text string) string {
	const most = 200
	return strings.ToValidUTF8(text[:min(len(text), most)], "?")
}

// readLine returns the first line of a file without spaces around it, "" if it
// cannot be read.
func readLine(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, line)
}
