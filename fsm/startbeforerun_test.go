package fsm_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"otad/fsm"
	"otad/netio/origintest"
)

func TestStartBeforeRun(t *testing.T) {
	stalled := origintest.Always().StallAt(interval + 5)
	tests := []struct {
		name    string
		script  *origintest.Rule
		before  func(r *rig) // what an earlier process left
		replace bool
		refused int64 // bytes that would be lost; -1: adopted
		from    int64 // of the first request then
	}{
		{"nothing before", origintest.From(99), func(*rig) {}, false, -1, 0},
		{"the same, unfinished", stalled, func(r *rig) { r.start(r.job()) }, false, -1, interval + 5},
		{"the same, failed", origintest.Span(1, 4).ResetAfter(1000), func(r *rig) { r.start(r.job()); r.failed("") }, false, -1, 4000},
		{"another, unfinished", stalled, func(r *rig) { r.start(r.other()) }, false, interval + 5, 0},
		{"another, unfinished, to be replaced", stalled, func(r *rig) { r.start(r.other()) }, true, -1, 0},
		{"another, failed with bytes", origintest.Span(1, 4).ResetAfter(1000), func(r *rig) { r.start(r.other()); r.failed("") }, false, 4000, 0},
		{"another, failed without", origintest.On(1).Status(404), func(r *rig) { r.start(r.other()); r.failed("") }, false, -1, 0},
		{"another, ready", origintest.From(99), func(r *rig) { r.start(r.other()); r.await(fsm.Ready) }, false, -1, 0},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, tt.script)
			r.boot()
			tt.before(r)
			synctest.Wait()
			r.stop()
			r.open()
			err := r.StartBeforeRun(t.Context(), r.job(), tt.replace)
			if tt.refused >= 0 {
				var unfinished *fsm.UnfinishedError
				if !errors.As(err, &unfinished) || unfinished.Offset != tt.refused || unfinished.Job.Name != "other.bin" {
					t.Fatalf("StartBeforeRun returned %v, want the refusal for %d bytes", err, tt.refused)
				}
				if rec, offset := r.record(); rec.Job.Name != "other.bin" || offset != tt.refused {
					t.Errorf("a refusal left %s with %d bytes", rec.Job.Name, offset)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r.boot()
			synctest.Wait()
			if first := r.requests()[0]; first.Offset != tt.from || r.exists("other.bin.otad-part") {
				t.Errorf("the request is from %d, want %d; the other partial file is there: %v", first.Offset, tt.from, r.exists("other.bin.otad-part"))
			}
		})
	}
}
