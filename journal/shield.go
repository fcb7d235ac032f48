package journal

import (
	"fmt"
	"runtime/debug"
)

// faultError is a panic of bbolt, or a fault on the memory it maps from the
// file: an I/O error there arrives as SIGBUS.
type faultError struct{ cause any }

func (e *faultError) Error() string { return fmt.Sprintf("bbolt failed on its file: %v", e.cause) }

// shielded runs f and turns what f dies of into a *faultError. It reaches
// only as far as f's own goroutine, which is why bbolt's Tx.Check, with a
// goroutine of its own, is not used.
func shielded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = &faultError{cause}
		}
	}()
	return f()
}
