package fsm_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"otad/board/storage"
	"otad/fsm"
	"otad/netio/origintest"
)

// Bytes that go to a directory which the path does not lead to are found by
// nobody. The machine ends with an error, so that the process is started again on
// the right one, and the job has not failed.
func TestReplacedStateDirectoryEndsRun(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script []*origintest.Rule
		act    func(r *rig)
		state  fsm.State // in the journal
	}{
		{"found by a look at the health", []*origintest.Rule{origintest.On(1).StallAt(200_000)}, func(r *rig) {
			r.begin()
			synctest.Wait()
			r.refuse("look", &storage.ReplacedError{Path: r.dir})
			wantReplaced(r.t, r.Health())
		}, fsm.Downloading},
		{"found by the pulse", nil, func(r *rig) {
			r.cfg.Pulse, r.cfg.PulseEvery = func() {}, time.Minute
			r.boot()
			synctest.Wait()
			r.replace()
			time.Sleep(time.Minute)
		}, ""},
		{"found before Ready", nil, func(r *rig) {
			r.before("publish", func() error { r.replace(); return nil })
			r.begin()
		}, fsm.Verifying},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, tt.script...)
				tt.act(r)
				synctest.Wait()
				select {
				case err := <-r.done:
					wantReplaced(t, err)
					r.done <- nil
				default:
					t.Error("Run goes on")
				}
				if s := r.Snapshot(); s.State == fsm.Failed || s.State == fsm.Ready {
					t.Errorf("shown is %s %s", s.State, s.Error)
				}
				must(t, r.stop())
				if r.exists("away") {
					must(t, errors.Join(os.Remove(filepath.Join(r.dir, "away")), os.Remove(r.dir), os.Rename(r.dir+".away", r.dir)))
				}
				rec, durable := r.record()
				if rec.State != string(tt.state) || r.exists("u.bin") {
					t.Errorf("the journal says %q, published: %v", rec.State, r.exists("u.bin"))
				}
				if tt.state == "" {
					return
				}
				if tt.state == fsm.Downloading && durable == 0 {
					t.Error("what was received is not checkpointed")
				}
				r.faults.set(nil)
				r.origin.Release()
				r.boot()
				r.fetched()
			})
		})
	}
}

// replace puts another directory, with one entry, in the place of the state
// directory.
func (r *rig) replace() {
	must(r.t, errors.Join(os.Rename(r.dir, r.dir+".away"), os.MkdirAll(r.path("away"), 0o755)))
}

func wantReplaced(t *testing.T, err error) {
	t.Helper()
	var replaced *storage.ReplacedError
	if !errors.As(err, &replaced) {
		t.Errorf("error is %v, want a ReplacedError", err)
	}
}
