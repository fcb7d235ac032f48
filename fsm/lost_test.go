package fsm_test

import (
	"os"
	"strings"
	"testing"

	"otad/fsm"
	"otad/netio/origintest"
)

// A disk that loses a whole durable package costs the package, not the job.
func TestVerifyingWithoutItsFile(t *testing.T) {
	for name, older := range map[string][]byte{
		"nothing is there":              nil,
		"an older package of this name": []byte("of another size"),
	} {
		run(t, name, func(t *testing.T) {
			d := newBulkRig(t, origintest.Config{Object: object})
			var p *process
			d.cfg.OnChange = func(s fsm.Snapshot) {
				if s.State == fsm.Verifying && !p.isKilled() {
					p.killNow()
				}
			}
			p = d.boot()
			job := d.job()
			p.start(job)
			p.settle()
			must(t, os.Remove(d.path(job.Name+".otad-part")))
			published := d.path(job.Name)
			if older != nil {
				must(t, os.WriteFile(published, older, 0o644))
			}
			d.cfg.OnChange = nil
			p = d.boot()
			s, _ := p.settle()
			if s.State != fsm.Failed || !strings.HasPrefix(s.Error, "DOWNLOAD_FAILED: STORAGE lost ") || s.Durable != 0 {
				t.Errorf("%s %q with %d bytes durable", s.State, s.Error, s.Durable)
			}
			p.start(job)
			p.finishes()
		})
	}
}
