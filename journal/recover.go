package journal

import (
	"fmt"
	"runtime/debug"
)

// faultError is a panic of bbolt, or a fault on the memory that bbolt maps from
// the file: an I/O error there arrives as SIGBUS.
type faultError struct{ cause any }

func (e *faultError) Error() string { return fmt.Sprintf("bbolt failed on its file: %v", e.cause) }

// catchFaults runs f and returns a panic or a memory fault in f as a
// *faultError. It covers f's own goroutine only, so bbolt's Tx.Check, which
// starts a goroutine of its own, is not used in this package.
func catchFaults(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = &faultError{cause}
		}
	}()
	return f()
}
