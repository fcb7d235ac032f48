package fsm_test

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// verifying leaves a board that was cut in Verifying, with the whole package in
// the partial file.
func verifying(r *rig) {
	r.t.Helper()
	r.begin()
	r.fetched()
	r.stop()
	r.edit(func(j *journal.Journal) error {
		_, err := j.Update(func(rec *journal.Record) { rec.State = string(fsm.Verifying) })
		return err
	})
	if err := os.Rename(r.path("u.bin"), r.path("u.bin.otad-part")); err != nil {
		r.t.Fatal(err)
	}
}

func TestVerifyingResumesFromTheFilesThatAreThere(t *testing.T) {
	publish := func(t *testing.T, r *rig) {
		must(t, os.Rename(r.path("u.bin.otad-part"), r.path("u.bin")))
	}
	beside := func(t *testing.T, r *rig, part []byte) {
		publish(t, r)
		must(t, os.WriteFile(r.path("u.bin.otad-part"), part, 0o600))
	}
	tests := []struct {
		name string
		cut  func(t *testing.T, r *rig)
		want string // beginning of the error; empty: Ready
	}{
		{"the partial file", func(*testing.T, *rig) {}, ""},
		{"only the published name", publish, ""},
		{"the published name and an empty partial file", func(t *testing.T, r *rig) {
			beside(t, r, nil)
		}, ""},
		{"the published name and a partial file that has grown since", func(t *testing.T, r *rig) {
			beside(t, r, []byte("grown"))
		}, ""},
		{"the published name and a partial file as long, of other bytes", func(t *testing.T, r *rig) {
			beside(t, r, make([]byte, r.object.Len()))
		}, ""},
		{"an older package and a partial file that has grown since", func(t *testing.T, r *rig) {
			beside(t, r, []byte("grown"))
			flip(t, r.path("u.bin"), 77)
		}, "DOWNLOAD_FAILED: STORAGE lost durable bytes"},
		{"an older package and a partial file as long, of other bytes", func(t *testing.T, r *rig) {
			beside(t, r, make([]byte, r.object.Len()))
			flip(t, r.path("u.bin"), 77)
		}, "DOWNLOAD_FAILED: STORAGE lost durable bytes"},
		{"an older package and the partial file", func(t *testing.T, r *rig) {
			whole, err := os.ReadFile(r.path("u.bin.otad-part"))
			if err != nil {
				t.Fatal(err)
			}
			beside(t, r, whole)
			flip(t, r.path("u.bin"), 77)
		}, ""},
		{"an older package under the published name", func(t *testing.T, r *rig) {
			publish(t, r)
			flip(t, r.path("u.bin"), 77)
		}, "MD5_MISMATCH: expected "},
		{"an older package of another size", func(t *testing.T, r *rig) {
			publish(t, r)
			must(t, os.Truncate(r.path("u.bin"), 10))
		}, "DOWNLOAD_FAILED: STORAGE lost the partial file, and the published u.bin has 10 bytes"},
		{"neither", func(t *testing.T, r *rig) {
			must(t, os.Remove(r.path("u.bin.otad-part")))
		}, "DOWNLOAD_FAILED: STORAGE lost the package"},
		{"a partial file with a bad end", func(t *testing.T, r *rig) {
			flip(t, r.path("u.bin.otad-part"), r.object.Len()-1)
		}, "DOWNLOAD_FAILED: STORAGE lost durable bytes"},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t)
			verifying(r)
			tt.cut(t, r)
			r.boot()
			if tt.want == "" {
				r.fetched()
				if len(r.requests()) != 0 || r.exists("u.bin.otad-part") {
					t.Errorf("%d requests; partial file left: %v", len(r.requests()), r.exists("u.bin.otad-part"))
				}
				return
			}
			r.failed(tt.want)
			r.start(r.job()) // the way out is always the same
			r.fetched()
		})
	}
}

// While the partial file is whole, the published package is not read: it is
// about to be replaced.
func TestWholePartialFileIsPublishedOverAPackageThatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		verifying(r)
		must(t, os.WriteFile(r.path("u.bin"), make([]byte, r.object.Len()), 0o644))
		r.failOnce("published", 2, syscall.EIO) // after its size was looked at
		r.boot()
		r.fetched()
	})
}

// Only a digest that differs proves that the published package is another one.
func TestPublishedPackageThatCannotBeReadGivesNothingUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		verifying(r)
		must(t, os.Rename(r.path("u.bin.otad-part"), r.path("u.bin")))
		must(t, os.WriteFile(r.path("u.bin.otad-part"), []byte("grown"), 0o600))
		r.failOnce("published", 2, syscall.EIO) // after it was found to be there
		r.boot()
		if s := r.failed("DOWNLOAD_FAILED: input/output error"); s.Durable != r.object.Len() {
			t.Errorf("%d bytes are still claimed, want %d", s.Durable, r.object.Len())
		}
	})
}

func TestVerifyingThatLostItsEndGoesOnFromTheCheckpointBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		verifying(r)
		flip(t, r.path("u.bin.otad-part"), r.object.Len()-1)
		r.boot()
		if s := r.failed("DOWNLOAD_FAILED: STORAGE"); s.Durable != 5*interval {
			t.Errorf("%d bytes are shown as durable, want %d", s.Durable, 5*interval)
		}
		r.start(r.job())
		r.fetched()
		if first := r.requests()[0]; first.Offset != 5*interval {
			t.Errorf("the request is from %d, want %d", first.Offset, 5*interval)
		}
	})
}

func TestReadyAndFailedOutlastARestart(t *testing.T) {
	tests := []struct {
		name   string
		script *origintest.Rule
		want   fsm.State
	}{
		{"ready", origintest.From(99), fsm.Ready},
		{"failed", origintest.On(1).Status(404), fsm.Failed},
		{"failed with bytes", origintest.Always().ResetAfter(10), fsm.Failed},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, tt.script).begin()
			before := r.await(tt.want)
			r.stop()
			r.boot()
			time.Sleep(time.Hour) // of the bubble
			after := r.Snapshot()
			if after.State != tt.want || after.Durable != before.Durable || after.Error != before.Error || after.Progress != before.Progress {
				t.Errorf("before the restart %+v, after it %+v", before, after)
			}
			if len(r.requests()) != 0 || len(r.history()) != 0 {
				t.Errorf("%d requests and changes %q in a state without work", len(r.requests()), r.history())
			}
		})
	}
}

// A partial file that no checkpoint speaks of is cut to nothing: whose bytes
// they are is not known.
func TestBytesWithoutACheckpointAreNotKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		must(t, os.WriteFile(filepath.Join(r.dir, "u.bin.otad-part"), slices.Repeat([]byte{1}, 1e6), 0o600))
		r.begin()
		r.fetched()
		if first := r.requests()[0]; first.Offset != 0 || first.size != 0 {
			t.Errorf("the request is from %d with %d bytes in the file", first.Offset, first.size)
		}
	})
}
