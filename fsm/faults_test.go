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

// failOnce makes the n-th change of that name fail.
func (r *rig) failOnce(op string, n int, err error) {
	r.faults.set(func(now string, _ int64) error {
		if now == op {
			n--
		}
		if now == op && n == 0 {
			return err
		}
		return nil
	})
}
