package fsm_test

import (
	"os"
	"testing"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// The rig's state directory knows no devices, as an older otad's. After a
// roll-back it finds a job that goes to one: the first part of the package is in
// the partial file, the rest on the device. It fetches a file, and the device is
// left alone.
func TestOlderOtadFetchesAFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, origintest.On(1).StallAt(2*interval+5))
		r.held(2*interval + 5)
		must(t, os.Truncate(r.path("u.bin.otad-part"), interval))
		r.edit(func(j *journal.Journal) error {
			_, err := j.Update(func(rec *journal.Record) { rec.Job.Output = "/dev/mmcblk0p3" })
			return err
		})
		r.boot()
		r.fetched()
		if s := r.Snapshot(); s.State != fsm.Ready || s.Output != "/dev/mmcblk0p3" {
			t.Errorf("it is %s with output %q", s.State, s.Output)
		}
	})
}
