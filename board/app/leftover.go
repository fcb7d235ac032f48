package app

import (
	"otad/fsm"
	"otad/journal"
)

// tidy gives the partial files of an earlier otad their present names, and
// deletes those that the record does not name.
func (s *services) tidy() error {
	rec := s.journal.Record()
	adopt := rec.PendingDeletes
	if rec.Job.Name != "" && fsm.State(rec.State) != fsm.Ready { // which has none
		adopt = append(adopt, rec.Job.Name)
	}
	if !rec.OwnSuffix && len(adopt) > 0 {
		for _, name := range adopt {
			if err := s.dir.AdoptPartial(name); err != nil {
				return err
			}
		}
		// From now on a file with the earlier suffix is somebody else's. A crash
		// before this line repeats the renames, which find nothing to do.
		if _, err := s.journal.Update(func(r *journal.Record) { r.OwnSuffix = true }); err != nil {
			s.log.Warn("the journal still names partial files as an earlier otad did", "err", err)
		}
	}
	if err := s.removePartialsExcept(append(rec.PendingDeletes, rec.Job.Name)...); err != nil {
		s.log.Warn("partial files that the journal does not name stay", "err", err)
	}
	return nil
}

// removePartialsExcept deletes the partial files of all packages but the named
// ones, and logs which.
func (s *services) removePartialsExcept(named ...string) error {
	names, size, err := s.dir.RemovePartialsExcept(named...)
	if len(names) > 0 {
		s.log.Warn("partial files that the journal does not name have been deleted", "packages", names, "bytes", size)
	}
	return err
}
