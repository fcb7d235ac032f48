package fsm_test

import "sync"

// faults is what goes wrong on a board: a function that is called before each
// change of the state directory, with the name of the change and, where it has
// one, its offset.
type faults struct {
	mu   sync.Mutex
	each func(op string, at int64) error
}

func (f *faults) set(each func(op string, at int64) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.each = each
}

func (f *faults) at(op string, at int64) error {
	f.mu.Lock()
	each := f.each
	f.mu.Unlock()
	if each == nil {
		return nil
	}
	return each(op, at)
}

// before calls do before each change of that name. An error refuses the change.
func (r *rig) before(op string, do func() error) {
	r.faults.set(func(now string, _ int64) error {
		if now != op {
			return nil
		}
		return do()
	})
}

func (r *rig) refuse(op string, err error) { r.before(op, func() error { return err }) }

// failOnce makes the n-th change of that name fail.
func (r *rig) failOnce(op string, n int, err error) {
	r.before(op, func() error {
		if n--; n == 0 {
			return err
		}
		return nil
	})
}
