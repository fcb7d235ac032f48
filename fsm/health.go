package fsm

import "errors"

// Health returns nil while the journal can be written. Otherwise it returns the
// error of the last write, or what would make the next one fail. It ends Run if
// the state directory is not the one at its path any more.
func (u *Updater) Health() error {
	err := u.dir.Writable()
	if isReplaced(err) {
		select {
		case u.replaced <- err:
		default: // Run ends already
		}
		return err
	}
	if written := u.journal.err(); written != nil {
		return written
	}
	return err
}

// replacedError is an error of the state directory that means that it is not the
// one at its path any more. Nobody would find what is written to it, so Run ends;
// the job is not to blame.
type replacedError interface {
	error
	Replaced() bool
}

func isReplaced(err error) bool {
	var r replacedError
	return errors.As(err, &r) && r.Replaced()
}
