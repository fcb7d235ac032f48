package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Scrub overwrites what the journal's file still holds of URLs that the record
// no longer has: bbolt leaves the pages of earlier contents as they are, and a
// URL may carry a signature. Once a package is Ready, which a record with a job
// and without a URL is, Scrub deletes a journal that was set aside, too.
//
// With nothing to do it returns at once. After a crash in the middle, or an
// error, the file holds the same content as before, and the next Scrub, also of
// another process, does the rest. The error matches [ErrUnusable] or is one of
// the file system; the record is durable either way.
func (j *Journal) Scrub() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.scrubDue {
		return nil
	}
	now := j.published.Load()
	if now.record.done() && j.dir.exists(corruptName) {
		if err := errors.Join(j.dir.remove(corruptName), j.dir.sync()); err != nil {
			return fmt.Errorf("delete the damaged journal: %w", err)
		}
	}
	// After this transaction, which changes nothing, both meta pages lead to the
	// present record. So no crash can make one of the pages that are overwritten
	// be read again.
	err := j.write(now)
	if err == nil {
		err = j.overwriteUnused()
	}
	if err != nil {
		return fmt.Errorf("overwrite the pages of earlier records: %w", err)
	}
	j.scrubDue = false
	return nil
}

// done reports whether the record's package is Ready.
func (r Record) done() bool { return r.Job.Name != "" && r.Job.URL == "" }

// overwriteUnused fills the pages with zeros that neither meta page leads to.
// bbolt, which reads none of them, does not write meanwhile.
func (j *Journal) overwriteUnused() error {
	file, err := read(j.file)
	if err != nil {
		return err
	}
	reached := make([]bool, len(file)/pageSize)
	for page := range 2 {
		m, ok := metaAt(file, page*pageSize)
		if !ok {
			return damaged("meta page %d is not valid", page)
		}
		if err := reach(file, m, reached); err != nil {
			return err
		}
	}
	zero := make([]byte, pageSize)
	for id := 2; id < len(reached); id++ {
		if reached[id] || isZero(file[id*pageSize:][:pageSize]) {
			continue
		}
		if _, err := j.file.WriteAt(zero, int64(id)*pageSize); err != nil {
			return err
		}
	}
	return j.file.Sync()
}

// reach marks the pages that m leads to.
func reach(file []byte, m meta, reached []bool) error {
	if m.hwm > uint64(len(reached)) {
		return damaged("%d pages in use, the file has %d", m.hwm, len(reached))
	}
	v := &verifier{file: file, hwm: m.hwm, used: make([]bool, m.hwm)}
	_, err := v.root(m.root)
	if err == nil {
		err = v.use(m.freelist)
	}
	for id, used := range v.used {
		reached[id] = reached[id] || used
	}
	return err
}

// hasStaleLeaf reports whether a page that is not reached holds keys and values.
// A page without any, as bbolt makes one in a new file, and an earlier free list
// hold none.
func hasStaleLeaf(file []byte, reached []bool) bool {
	for id := 2; id < len(file)/pageSize; id++ {
		page := file[id*pageSize:][:pageSize]
		if id < len(reached) && reached[id] || isZero(page) {
			continue
		}
		order := binary.NativeEndian
		flags, count := order.Uint16(page[8:]), order.Uint16(page[10:])
		if flags != flagFreelist && (flags != flagLeaf || count > 0) {
			return true
		}
	}
	return false
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
