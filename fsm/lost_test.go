package fsm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"otad/fsm"
	"otad/netio/origintest"
)

// TestVerifyingWithoutItsFile: a disk that loses a whole package after it was durable costs the package and not the job.
func TestVerifyingWithoutItsFile(t *testing.T) {
	for name, older := range map[string][]byte{
		"nothing is there":              nil,
		"an older package of this name": []byte("of another size"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOrigin(t, origintest.Config{Object: object})
				d := newDevice(t, o)
				var p *process
				d.cfg.OnChange = func(s fsm.Snapshot) {
					if s.State == fsm.Verifying && !p.reaper.struck() {
						p.reaper.kill()
					}
				}
				p = d.boot()
				job := jobFor(o, object)
				if err := p.Start(t.Context(), job); err != nil {
					t.Fatal(err)
				}
				p.settle()
				if err := os.Remove(d.partial(job.Name)); err != nil {
					t.Fatal(err)
				}
				published := filepath.Join(d.dir, job.Name)
				if older != nil {
					if err := os.WriteFile(published, older, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				d.cfg.OnChange = nil
				p = d.boot()
				s, _ := p.settle()
				if s.State != fsm.Failed || !strings.HasPrefix(s.Error, "DOWNLOAD_FAILED: STORAGE lost ") || s.Durable != 0 {
					t.Errorf("%s %q with %d bytes durable", s.State, s.Error, s.Durable)
				}
				if err := p.Start(t.Context(), job); err != nil {
					t.Fatal(err)
				}
				if s, _ = p.settle(); s.State != fsm.Ready {
					t.Errorf("%s %q", s.State, s.Error)
				}
				p.audit(s)
			})
		})
	}
}
