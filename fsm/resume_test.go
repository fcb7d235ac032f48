package fsm_test

import (
	"os"
	"testing"
	"testing/synctest"

	"otad/hashing"
	"otad/journal"
	"otad/netio/origintest"
)

// stop is where otad was stopped in these tests. It leaves checkpoints at
// stopAt, 3*interval and 2*interval.
const stopAt = 3*interval + 1000

// flip changes one byte of a file.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	must(t, flipByte(path, at))
}

func flipByte(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 0x40
	_, err = f.WriteAt(b[:], at)
	return err
}

// redigest replaces the digest state of the newest checkpoint.
func redigest(r *rig, state func(old []byte) []byte) {
	r.t.Helper()
	r.edit(func(j *journal.Journal) error {
		cp := j.Checkpoints()[0]
		cp.Digest = state(cp.Digest)
		return j.Commit(cp)
	})
}

func cutTo(size int64) func(*rig, string) {
	return func(r *rig, part string) { must(r.t, os.Truncate(part, size)) }
}

func flipped(at ...int64) func(*rig, string) {
	return func(r *rig, part string) {
		for _, at := range at {
			flip(r.t, part, at)
		}
	}
}

func TestDownloadResumesFromTheNewestIntactCheckpoint(t *testing.T) {
	tests := []struct {
		name   string
		damage func(r *rig, part string)
		from   int64 // offset of the first request
		read   int64 // most bytes read before it
		lost   int   // ota_download_restarts_total{reason="checkpoint_lost"}
		rehash int   // {reason="digest_state"}
	}{
		{"nothing", flipped(), stopAt, 1000, 0, 0},
		{"file longer", cutTo(stopAt + 5000), stopAt, 1000, 0, 0},
		{"file longer than the package", cutTo(1e6), stopAt, 1000, 0, 0},
		{"file a byte shorter", cutTo(stopAt - 1), 3 * interval, interval, 1, 0},
		{"file shorter than all checkpoints", cutTo(2*interval - 1), 0, 0, 1, 0},
		{"file empty", cutTo(0), 0, 0, 1, 0},
		{"file missing", func(r *rig, part string) { must(r.t, os.Remove(part)) }, 0, 0, 1, 0},
		{"last tail wrong", flipped(stopAt - 1), 3 * interval, 1000 + interval, 1, 0},
		{"two last tails wrong", flipped(3*interval, 3*interval-1), 2 * interval, 1000 + 2*interval, 1, 0},
		{"every tail wrong", flipped(3*interval, 2*interval, interval), 0, 1000 + 2*interval, 1, 0},
		{"digest state damaged", func(r *rig, part string) {
			redigest(r, func(old []byte) []byte { return old[:len(old)-1] })
		}, stopAt, 1000 + stopAt, 0, 1},
		{"digest state of another stretch", func(r *rig, part string) {
			redigest(r, func([]byte) []byte { return hashing.New(hashing.MD5).AppendState(nil) })
		}, stopAt, 1000 + stopAt, 0, 1},
		{"digest state of other algorithms", func(r *rig, part string) {
			redigest(r, func([]byte) []byte {
				d := hashing.New(hashing.MD5 | hashing.SHA256)
				d.Write(make([]byte, stopAt))
				return d.AppendState(nil)
			})
		}, stopAt, 1000 + stopAt, 0, 1},
	}
	for _, tt := range tests {
		run(t, tt.name, func(t *testing.T) {
			r := newRig(t, origintest.On(1).StallAt(stopAt))
			r.held(stopAt)
			tt.damage(r, r.path("u.bin.otad-part"))
			r.boot() // nobody asks: it goes on by itself
			r.fetched()
			first := r.requests()[0]
			if first.Offset != tt.from || first.read > tt.read {
				t.Errorf("the request is from %d after reading %d bytes, want %d and at most %d", first.Offset, first.read, tt.from, tt.read)
			}
			if first.size != tt.from {
				t.Errorf("the file was %d bytes long then, want %d", first.size, tt.from)
			}
			if got := r.Snapshot().ResumedFrom; got != tt.from {
				t.Errorf("shown as resumed from %d, want %d", got, tt.from)
			}
			lost := r.metric(`ota_download_restarts_total{reason="checkpoint_lost"}`)
			rehash := r.metric(`ota_download_restarts_total{reason="digest_state"}`)
			if int(lost) != tt.lost || int(rehash) != tt.rehash {
				t.Errorf("%v checkpoints lost and %v digest states, want %d and %d", lost, rehash, tt.lost, tt.rehash)
			}
		})
	}
}

func TestResumeReadsNoMoreAtTheEndThanAtTheBeginning(t *testing.T) {
	for _, at := range []int64{interval + 1, 20*interval + 1} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigOn(t, origintest.Config{InMemory: true, Object: sample(1, 21*interval),
				Script: []*origintest.Rule{origintest.On(1).StallAt(at)}})
			r.held(at)
			r.boot()
			r.fetched()
			if first := r.requests()[0]; first.Offset != at || first.read != 1 {
				t.Errorf("resumed from %d by reading %d bytes, want %d and the one of the last block", first.Offset, first.read, at)
			}
		})
	}
}
