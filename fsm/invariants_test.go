package fsm_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"otad/fsm"
	"otad/hashing"
	"otad/journal"
	"otad/netio"
)

// invariants are checked at every change that a process makes to its state
// directory, in every test that runs on a rig:
//
//   - a checkpoint claims only bytes that a power cut would leave, with their
//     CRC and digest;
//   - one commit is under way at a time, and the stored bytes that none claims
//     are at most two intervals;
//   - Verifying is written only when every byte of the package is claimed, and
//     Ready only when the package is there under its final name;
//   - bytes are given up only for a proof, see isProved;
//   - nothing is shown, in a Snapshot, to OnChange or in a metric, that the
//     journal does not hold yet;
//   - every file that is opened is closed (see process.stop).
//
// Some of that takes longer than a small download. So a bulk rig's metrics are
// compared only when a job ends, its Snapshots with the journal's record and not
// its file, and the digest of its package only in the audit.
type invariants struct {
	process    *process
	ready      atomic.Bool // the Updater is made
	committing atomic.Bool // a commit is under way

	mu       sync.Mutex
	files    map[string]*content // each partial file, by its name, as it was opened last
	claimed  int64               // highest offset that any checkpoint was at
	log      []string            // changes in order: "sync", "commit 65536", "update Ready"
	commits  []int64             // offsets of the checkpoints
	opened   int                 // how often a file was opened
	closed   int                 // how often one was closed
	read     int64               // bytes read from partial files
	asked    []openedRequest
	observed []fsm.Snapshot
	evidence evidence
}

// openedRequest is a request to the origin.
type openedRequest struct {
	netio.Request
	at   time.Time
	read int64 // bytes read from partial files before it
	size int64 // of the partial file at that moment
}

func newest(cps []journal.Checkpoint) int64 {
	if len(cps) == 0 {
		return 0
	}
	return cps[0].Offset
}

func (v *invariants) note(op string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.log = append(v.log, op)
}

func (v *invariants) noteClose() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed++
}

// list returns a copy of one of the lists of v.
func list[T any](v *invariants, of *[]T) []T {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(*of)
}

// history is what was done so far, in order.
func (v *invariants) history() []string         { return list(v, &v.log) }
func (v *invariants) requests() []openedRequest { return list(v, &v.asked) }
func (v *invariants) checkpoints() []int64      { return list(v, &v.commits) }
func (v *invariants) shown() []fsm.Snapshot     { return list(v, &v.observed) }

// claimsOnlySyncedBytes checks a checkpoint before it is committed.
func (v *invariants) claimsOnlySyncedBytes(cp journal.Checkpoint) {
	v.mu.Lock()
	defer v.mu.Unlock()
	file := v.files[v.process.journal.Record().Job.Name]
	if file == nil {
		file = &content{}
	}
	if err := file.check(cp); err != nil {
		v.process.rig.t.Errorf("checkpoint at %d: %v", cp.Offset, err)
		return
	}
	v.claimed = max(v.claimed, cp.Offset)
	v.commits = append(v.commits, cp.Offset)
}

// claimsStagedBytes checks the first interval of an answer that takes over, which
// is behind the end of the package.
func (v *invariants) claimsStagedBytes(cp journal.Checkpoint, at int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.staged(at).check(cp); err != nil {
		v.process.rig.t.Errorf("the first %d bytes of an answer, staged at %d: %v", cp.Offset, at, err)
	}
	v.claimed = max(v.claimed, cp.Offset)
}

// isInPlace checks the bytes of cp when they are not claimed at their other place
// any more. The disk may have lost those.
func (v *invariants) isInPlace(cp journal.Checkpoint, staged int64) {
	v.mu.Lock()
	lost := v.staged(staged).check(cp) != nil
	v.mu.Unlock()
	if !lost {
		v.claimsOnlySyncedBytes(cp)
	}
}

// staged returns the part of the job's file from at on.
func (v *invariants) staged(at int64) *content {
	file, staged := v.files[v.process.journal.Record().Job.Name], new(content)
	if at < int64(len(file.bytes)) {
		staged.bytes = file.bytes[at:]
	}
	for _, e := range file.unsynced {
		if e.to > at {
			staged.unsynced = append(staged.unsynced, extent{max(0, e.from-at), e.to - at})
		}
	}
	return staged
}

// leavesAtMostTwoIntervalsUnclaimed checks a write before it is made.
func (v *invariants) leavesAtMostTwoIntervalsUnclaimed(end int64) {
	p := v.process
	if claimed := newest(p.journal.Checkpoints()); end-claimed > 2*p.rig.cfg.Checkpoint {
		p.rig.t.Errorf("the file reaches to %d, and the journal claims %d", end, claimed)
	}
}

// isNotShownYet checks, before the journal is written, that what is about to be
// written is not shown. ends says whether the write ends a job.
func (v *invariants) isNotShownYet(ends bool) {
	if !v.ready.Load() {
		return
	}
	p := v.process
	state, s := stateIn(p.journal.Record()), p.Snapshot()
	if state == fsm.Ready && s.State == fsm.Verifying {
		state = s.State // of a package that has to be proved again
	}
	v.mu.Lock()
	claimed := v.claimed
	v.mu.Unlock()
	if s.State != state || s.Durable > claimed {
		p.rig.t.Errorf("shown is %s with %d durable bytes, the journal holds %s and never held more than %d", s.State, s.Durable, state, claimed)
	}
	if p.rig.bulk && !ends {
		return
	}
	scrape := exposition(p.metrics)
	if metricIn(scrape, `ota_update_state{state="`+state.Label()+`"}`) != 1 {
		p.rig.t.Errorf("the metrics do not show %s, which the journal holds", state)
	}
	if durable := metricIn(scrape, "ota_download_durable_bytes"); durable > float64(claimed) {
		p.rig.t.Errorf("the metrics show %v durable bytes, the journal never held more than %d", durable, claimed)
	}
}

// shownOnlyWhatIsWritten checks a Snapshot that OnChange gets.
func (v *invariants) shownOnlyWhatIsWritten(s fsm.Snapshot) {
	p := v.process
	rec, offset := p.journal.Record(), newest(p.journal.Checkpoints())
	if !p.rig.bulk {
		rec, offset = p.rig.record()
	}
	if s.State != stateIn(rec) || s.Durable > offset || s.Error != rec.Error+rec.Install.Error {
		p.rig.t.Errorf("shown is %s with %d bytes and error %q, the journal holds %s with %d and %q",
			s.State, s.Durable, s.Error, rec.State, offset, rec.Error+rec.Install.Error)
	}
	if strings.Contains(s.Error+s.Message, secret) {
		p.rig.t.Errorf("a secret is shown: %q %q", s.Message, s.Error)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.observed = append(v.observed, s)
}

// mayEnter checks what has to be durable before a state is written.
func (v *invariants) mayEnter(to fsm.State, job journal.Job) {
	r := v.process.rig
	switch to {
	case fsm.Verifying:
		if at := newest(v.process.journal.Checkpoints()); job.Size != 0 && at != job.Size {
			r.t.Errorf("Verifying is written while %d of %d bytes are claimed", at, job.Size)
		}
	case fsm.Ready:
		if r.exists(job.Name+".otad-part") || !r.bulk && job.MD5 != "" && md5Of(r.t, r.path(job.Name)) != job.MD5 {
			r.t.Error("Ready is written while the package is not published")
		}
	}
}

// stateIn returns the state that the record stands for in this build.
func stateIn(rec journal.Record) fsm.State { return fsm.SnapshotOf(rec, nil).State }

// content is a partial file as it was written, with the pieces of it that a
// power cut would take: bytes count as durable from the sync that began after
// they were written.
type content struct {
	bytes    []byte
	unsynced []extent
	known    []journal.Checkpoint // whose digest is that of the bytes before it
}

type extent struct{ from, to int64 }

// contents are those of processes that have ended: their memory is used again.
var contents pool[content]

// read takes the file over as a process finds it when it opens it. The digest
// of a checkpoint is trusted when the file holds its tail, as otad does.
func (c *content) read(file fsm.Partial, checkpoints []journal.Checkpoint) error {
	size, err := file.Size()
	if err != nil || size == int64(len(c.bytes)) {
		return err // nobody else writes to it while a process runs
	}
	c.bytes, c.unsynced, c.known = slices.Grow(c.bytes[:0], max(int(size), 3<<20))[:size], nil, nil
	if _, err := file.ReadAt(c.bytes, 0); err != nil && err != io.EOF {
		return err
	}
	for _, cp := range checkpoints {
		if cp.Offset <= size && c.tailCRC(cp) == cp.TailCRC {
			c.known = append(c.known, cp)
		}
	}
	return nil
}

func (c *content) tailCRC(cp journal.Checkpoint) uint32 {
	return crc32.Checksum(c.bytes[cp.Offset-cp.Tail:cp.Offset], crc32.MakeTable(crc32.Castagnoli))
}

func (c *content) write(b []byte, off int64) {
	begin, end := int64(len(c.bytes)), off+int64(len(b))
	if end > begin {
		c.bytes = slices.Grow(c.bytes, int(end-begin))[:end]
		clear(c.bytes[begin:max(begin, off)])
	}
	copy(c.bytes[off:], b)
	c.unsynced = append(c.unsynced, extent{off, end})
	c.forgetAfter(off)
}

func (c *content) truncate(size int64) {
	c.bytes = c.bytes[:min(size, int64(len(c.bytes)))]
	c.forgetAfter(size)
}

func (c *content) forgetAfter(off int64) {
	c.known = slices.DeleteFunc(c.known, func(cp journal.Checkpoint) bool { return cp.Offset > off })
}

// check holds a checkpoint against the bytes that are durable. Their digest
// goes on from that of the newest checkpoint before it.
func (c *content) check(cp journal.Checkpoint) error {
	if n := int64(len(c.bytes)); n < cp.Offset {
		return fmt.Errorf("%d bytes were written", n)
	}
	for _, e := range c.unsynced {
		if e.from < cp.Offset {
			return fmt.Errorf("the bytes from %d to %d are not synced", e.from, e.to)
		}
	}
	if c.tailCRC(cp) != cp.TailCRC {
		return errors.New("the CRC of its tail is not that of the synced bytes")
	}
	claimed, err := hashing.Resume(cp.Digest)
	if err != nil || claimed.Len() != cp.Offset {
		return fmt.Errorf("its digest state is of no use: %v", err)
	}
	anew := hashing.New(claimed.Algorithms())
	for _, before := range c.known {
		d, err := hashing.Resume(before.Digest)
		if err == nil && d.Len() == before.Offset && d.Algorithms() == claimed.Algorithms() &&
			before.Offset <= cp.Offset && before.Offset >= anew.Len() {
			anew = d
		}
	}
	anew.Write(c.bytes[anew.Len():cp.Offset])
	if claimed.MD5() != anew.MD5() || claimed.SHA256() != anew.SHA256() {
		return errors.New("its digest is not that of the synced bytes")
	}
	cp.Digest = slices.Clone(cp.Digest)
	c.known = append(c.known, cp)
	return nil
}
