package fsm

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"otad/journal"
)

// What the journal remembers of published packages: whether a file is still the
// one that was verified, and which files otad may delete.

// publishedFile returns what the journal remembers of a published file.
func publishedFile(name string, info fs.FileInfo) journal.Published {
	p := journal.Published{Name: name, Size: info.Size(), Modified: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		p.Inode = st.Ino
	}
	return p
}

// isStill reports whether the file of p's name is still p. A file that was
// replaced has another number or another time of its last change.
func isStill(dir StateDir, p journal.Published) bool {
	info, err := statPublished(dir, p.Name)
	return err == nil && publishedFile(p.Name, info) == p
}

func statPublished(dir StateDir, name string) (fs.FileInfo, error) {
	f, err := dir.Published(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// isProved reports whether the file of the record's job is the one whose digest
// was compared.
func isProved(dir StateDir, rec journal.Record) bool {
	i := slices.IndexFunc(rec.Published, func(p journal.Published) bool { return p.Name == rec.Job.Name })
	return i >= 0 && isStill(dir, rec.Published[i])
}

// isThere reports whether there is anything under the name of the record's package.
// Without it there is nothing to compare: whoever installed the package has deleted
// it.
func isThere(dir StateDir, rec journal.Record) bool {
	_, err := statPublished(dir, rec.Job.Name)
	return !errors.Is(err, fs.ErrNotExist)
}

// remember returns the change that adds the job's package, which has just been
// verified, to the published ones, and forgets those that are gone.
func remember(dir StateDir, rec journal.Record) recordChange {
	gone := func(p journal.Published) bool { return p.Name == rec.Job.Name || !isStill(dir, p) }
	list := slices.DeleteFunc(slices.Clone(rec.Published), gone)
	if info, err := statPublished(dir, rec.Job.Name); err == nil {
		list = append(list, publishedFile(rec.Job.Name, info))
	}
	return func(r *journal.Record) { r.Published = list }
}
