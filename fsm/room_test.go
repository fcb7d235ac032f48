package fsm_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"otad/board/storage"
	"otad/fsm"
	"otad/journal"
	"otad/netio/origintest"
)

// named returns the job of the package of that name.
func (r *rig) named(name string) journal.Job {
	job := r.job()
	job.Name = name
	return job
}

// publish fetches the packages one after the other.
func (r *rig) publish(names ...string) {
	r.t.Helper()
	for _, name := range names {
		r.start(r.named(name))
		if s := r.await(fsm.Ready); s.State != fsm.Ready {
			r.t.Fatalf("%s: %s", name, s.Error)
		}
	}
}

// small makes a file system that has room for so many packages, of which a new
// one needs so much as that many.
func (r *rig) small(packages, needs int64) {
	size := r.object.Len()
	r.before("reserve", func() error {
		need, free := needs*size, packages*size
		for _, name := range r.packages() {
			if info, err := os.Stat(r.path(name)); err == nil {
				free -= info.Size()
			}
		}
		if free < need {
			return &storage.SpaceError{Need: need, Free: max(0, free)}
		}
		return nil
	})
}

// packages lists what is published.
func (r *rig) packages() (names []string) {
	r.t.Helper()
	entries, err := os.ReadDir(r.dir)
	must(r.t, err)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".bin" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestEarlierPackagesMakeRoom(t *testing.T) {
	for _, tt := range []struct {
		name      string
		keep      int
		room      int64
		published []string
		meddle    func(r *rig)
		job       string
		want      []string // published at the end
		fails     bool
		need      int64 // packages; 0: one
	}{
		{"there is room", 0, 4, []string{"a.bin", "b.bin", "c.bin"}, nil, "n.bin", []string{"a.bin", "b.bin", "c.bin", "n.bin"}, false, 0},
		{"the oldest goes", 2, 3, []string{"c.bin", "b.bin", "a.bin"}, nil, "n.bin", []string{"a.bin", "b.bin", "n.bin"}, false, 0},
		{"as many as are needed", 1, 2, []string{"a.bin", "b.bin", "c.bin"}, nil, "n.bin", []string{"c.bin", "n.bin"}, false, 0},
		{"down to none", 0, 1, []string{"a.bin", "b.bin", "c.bin"}, nil, "n.bin", []string{"n.bin"}, false, 0},
		{"not below what is kept", 2, 2, []string{"a.bin", "b.bin"}, nil, "n.bin", []string{"a.bin", "b.bin"}, true, 0},
		{"none in vain", 1, 3, []string{"a.bin", "b.bin", "c.bin"}, nil, "n.bin", []string{"a.bin", "b.bin", "c.bin"}, true, 3},
		{"all are kept", fsm.KeepAll, 3, []string{"a.bin", "b.bin", "c.bin"}, nil, "n.bin", []string{"a.bin", "b.bin", "c.bin"}, true, 0},
		{"an older package of the same name stays until the new one is there", 1, 2, []string{"n.bin", "b.bin"}, nil, "n.bin", []string{"b.bin", "n.bin"}, true, 0},
		{"published twice is the newer", 1, 2, []string{"a.bin", "b.bin", "a.bin"}, func(r *rig) {
			must(r.t, os.Remove(r.path("a.bin")))
			r.publish("a.bin")
		}, "n.bin", []string{"a.bin", "n.bin"}, false, 0},
		{"one that was taken away does not count", 1, 2, []string{"a.bin", "b.bin", "c.bin"}, func(r *rig) {
			must(r.t, os.Remove(r.path("c.bin")))
		}, "n.bin", []string{"b.bin", "n.bin"}, false, 0},
		{"a foreign file is not touched", 0, 2, []string{"a.bin", "b.bin"}, func(r *rig) {
			must(r.t, errors.Join(os.Remove(r.path("a.bin")), os.Remove(r.path("b.bin"))))
			must(r.t, errors.Join(os.WriteFile(r.path("a.bin"), make([]byte, r.object.Len()), 0o644), os.WriteFile(r.path("x.bin"), make([]byte, r.object.Len()), 0o644)))
		}, "n.bin", []string{"a.bin", "x.bin"}, true, 0},
		{"neither is one that was written to", 0, 2, []string{"a.bin", "b.bin"}, func(r *rig) {
			flip(r.t, r.path("a.bin"), 7)
			flip(r.t, r.path("b.bin"), 7)
		}, "n.bin", []string{"a.bin", "b.bin"}, true, 0},
		{"nor a copy with the same time", 0, 2, []string{"a.bin", "b.bin"}, func(r *rig) {
			for _, name := range []string{"a.bin", "b.bin"} {
				info, err := os.Stat(r.path(name))
				must(r.t, err)
				must(r.t, os.WriteFile(r.path("copy"), make([]byte, info.Size()), 0o644))
				must(r.t, os.Chtimes(r.path("copy"), info.ModTime(), info.ModTime()))
				must(r.t, os.Rename(r.path("copy"), r.path(name)))
			}
		}, "n.bin", []string{"a.bin", "b.bin"}, true, 0},
		{"nor a link to one", 0, 2, []string{"a.bin", "b.bin"}, func(r *rig) {
			for _, name := range []string{"a.bin", "b.bin"} {
				must(r.t, os.Rename(r.path(name), filepath.Join(r.dir, "kept-"+name)))
				must(r.t, os.Symlink("kept-"+name, r.path(name)))
			}
		}, "n.bin", []string{"a.bin", "b.bin", "kept-a.bin", "kept-b.bin"}, true, 0},
		{"they are remembered over a start", 0, 1, []string{"a.bin", "b.bin"}, func(r *rig) {
			r.end()
			r.boot()
		}, "n.bin", []string{"n.bin"}, false, 0},
		{"and over a reset", 0, 1, []string{"a.bin", "b.bin"}, func(r *rig) { must(r.t, r.Reset(r.t.Context())) }, "n.bin", []string{"n.bin"}, false, 0},
		{"but not by an older otad", 0, 1, []string{"a.bin"}, func(r *rig) {
			r.end()
			r.edit(func(j *journal.Journal) error {
				_, err := j.Update(func(rec *journal.Record) { rec.Published = nil; rec.State = string(fsm.Idle) })
				return err
			})
			r.boot()
		}, "n.bin", []string{"a.bin"}, true, 0},
	} {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t)
			r.cfg.Keep = tt.keep
			r.boot()
			r.publish(tt.published...)
			if tt.meddle != nil {
				tt.meddle(r)
			}
			before := r.packages()
			r.small(tt.room, max(1, tt.need))
			r.start(r.named(tt.job))
			s := r.await(fsm.Ready)
			if tt.fails != (s.State == fsm.Failed) || tt.fails && !strings.HasPrefix(s.Error, "DISK_FULL: need ") {
				t.Errorf("%s %s", s.State, s.Error)
			}
			got := r.packages()
			if !slices.Equal(got, tt.want) {
				t.Errorf("published is %q, want %q", got, tt.want)
			}
			gone := slices.DeleteFunc(before, func(name string) bool { return slices.Contains(got, name) })
			if want := fmt.Sprintf("ota_packages_removed_total %d\n", len(gone)); !strings.Contains(exposition(r.metrics), want) {
				t.Errorf("metrics lack %q", want)
			}
			for _, p := range r.journal.Record().Published {
				if slices.Contains(gone, p.Name) {
					t.Errorf("the journal still lists %s", p.Name)
				}
			}
		})
	}
}

// A package whose hand-over is not called back yet stays, even with -keep 0.
func TestPackageThatIsHandedOverStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.KeepOutbox = true
		r.boot()
		r.publish("a.bin", "b.bin")
		_, err := r.journal.Update(func(rec *journal.Record) { // a is delivered
			rec.Outbox = slices.DeleteFunc(rec.Outbox, func(e journal.OutboxEntry) bool { return e.Seq <= 3 })
		})
		must(t, err)
		r.small(2, 1)
		r.publish("n.bin")
		if got := r.packages(); !slices.Equal(got, []string{"b.bin", "n.bin"}) {
			t.Errorf("published is %q", got)
		}
		r.start(r.named("o.bin"))
		r.failed("DISK_FULL")
		if got := r.packages(); !slices.Equal(got, []string{"b.bin", "n.bin"}) {
			t.Errorf("published is %q", got)
		}
	})
}

// Not only bytes can be short: a file needs an inode, and room for its name.
func TestEarlierPackageMakesRoomForAName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.boot()
		r.publish("a.bin", "b.bin")
		r.before("open", func() error {
			if r.exists("a.bin") {
				return syscall.ENOSPC
			}
			return nil
		})
		r.publish("n.bin")
		if got := r.packages(); !slices.Equal(got, []string{"b.bin", "n.bin"}) {
			t.Errorf("published is %q", got)
		}
	})
}

// Neither a deletion that fails, nor a file that is replaced in the last moment,
// costs another package.
func TestPackageThatCannotBeDeleted(t *testing.T) {
	for name, instead := range map[string]func(r *rig) error{
		"read-only": func(*rig) error { return syscall.EROFS },
		"replaced":  func(r *rig) error { return flipByte(r.path("a.bin"), 5) },
	} {
		run(t, name, func(t *testing.T) {
			r := newRig(t)
			r.boot()
			r.publish("a.bin", "b.bin")
			r.small(2, 1)
			room := r.faults.each
			r.faults.set(func(op string, at int64) error {
				if op == "remove published" {
					return instead(r)
				}
				return room(op, at)
			})
			r.start(r.named("n.bin"))
			r.failed("DISK_FULL: need ")
			if got := r.packages(); !slices.Equal(got, []string{"a.bin", "b.bin"}) {
				t.Errorf("published is %q", got)
			}
		})
	}
}

// An origin must not fill the disk because nobody has said how long the package
// is. A job's own size is not limited.
func TestSizeThatTheOriginAsksForIsLimited(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit int64 // beyond the package's size
		sized bool
		rule  *origintest.Rule
		fails bool
	}{
		{"smaller", 0, false, nil, false},
		{"larger", -1, false, nil, true},
		{"larger, without a length", -1, false, on(1).Chunked(), true},
		{"of the job's size", -1, true, nil, false},
	} {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t)
			if tt.rule != nil {
				r = newRig(t, tt.rule)
			}
			r.cfg.MaxSize = r.object.Len() + tt.limit
			job := r.job()
			if !tt.sized {
				job.Size = 0
			}
			r.boot()
			r.start(job)
			s := r.await(fsm.Ready)
			if !tt.fails {
				if s.State != fsm.Ready {
					t.Error(s.Error)
				}
				return
			}
			want := fmt.Sprintf("DOWNLOAD_FAILED: the origin's package has %d bytes and -max-size allows %d: ", r.object.Len(), r.cfg.MaxSize)
			if s.Code != fsm.DownloadFailed || s.Reason != fsm.Unusable || !strings.HasPrefix(s.Error, want) {
				t.Errorf("%s %s %q", s.Code, s.Reason, s.Error)
			}
			if s.Durable != 0 || slices.Contains(r.history(), "write") || r.exists("u.bin.part") {
				t.Errorf("%d bytes are durable after %q", s.Durable, r.history())
			}
		})
	}
}
