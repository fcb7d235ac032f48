package fsm_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"time"

	"otad/fsm"
	"otad/hashing"
	"otad/journal"
	"otad/metrics"
	"otad/netio"
)

// errGone answers every change that a process tries after the power is cut.
var errGone = errors.New("the power is gone")

// errLost is a sync that failed and whose bytes are not on the medium: reads
// give zeros from then on. Any other error of a sync leaves them there.
var errLost = errors.New("sync failed, bytes lost")

// witness watches what a process does to its state directory, in every test,
// and knows at each moment what a power cut would leave: bytes count as durable
// from the sync that began after they were written. It holds against the
// process whatever breaks one of these rules:
//
//   - a checkpoint claims only durable bytes, with their CRC and digest;
//   - Ready is written only when the package is there under its final name;
//   - every file that is opened is closed;
//   - nothing is shown, in a Snapshot, to Observe or in a metric, that the
//     journal does not hold yet.
type witness struct {
	rig   *rig
	inner *journal.Journal
	shown func() (fsm.Snapshot, *metrics.Metrics)

	mu      sync.Mutex
	durable map[string][]byte // of each partial file that was opened
	claimed int64             // highest offset that any checkpoint was at
	log     []string          // changes in order: "sync", "commit 65536", "update Ready"
	commits []int64           // offsets of the checkpoints
	handles int               // how often a file was opened
	closed  int               // how often one was closed
	read    int64             // bytes read from partial files
	asked   []watchedRequest
	shows   []fsm.Snapshot // as observed
}

// watchedRequest is a request to the origin.
type watchedRequest struct {
	netio.Request
	at   time.Time
	read int64 // bytes read from partial files before it
	size int64 // of the partial file at that moment
}

func newWitness(r *rig, j *journal.Journal) *witness {
	w := &witness{rig: r, inner: j, durable: map[string][]byte{}}
	w.claimed = newest(j.Checkpoints())
	return w
}

func newest(cps []journal.Checkpoint) int64 {
	if len(cps) == 0 {
		return 0
	}
	return cps[0].Offset
}

// change is asked before each change; an error means that it is not made.
func (w *witness) change(op string, at int64) error {
	if err := w.rig.faults.at(op, at); err != nil {
		w.note("refused " + op)
		return err
	}
	if op == "commit" || op == "rewind" {
		op = fmt.Sprintf("%s %d", op, at)
	}
	w.note(op)
	return nil
}

func (w *witness) note(op string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, op)
}

func (w *witness) noteClose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed++
}

// history is what was done so far, in order.
func (w *witness) history() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

func (w *witness) requests() []watchedRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

func (w *witness) checkpoints() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.commits)
}

func (w *witness) observed() []fsm.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.shows)
}

// judge holds a checkpoint against what is durable.
func (w *witness) judge(cp journal.Checkpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := w.inner.Record().Job.Name
	have := w.durable[name]
	if int64(len(have)) < cp.Offset {
		w.rig.t.Errorf("the journal is told of %d bytes, %d were synced", cp.Offset, len(have))
		return
	}
	have = have[:cp.Offset]
	if sum := crc32.Checksum(have[cp.Offset-cp.Tail:], crc32.MakeTable(crc32.Castagnoli)); sum != cp.TailCRC {
		w.rig.t.Errorf("checkpoint at %d: the CRC of its tail is not that of the synced bytes", cp.Offset)
	}
	d, err := hashing.Resume(cp.Digest)
	if err != nil || d.Len() != cp.Offset {
		w.rig.t.Errorf("checkpoint at %d: its digest state is of no use: %v", cp.Offset, err)
		return
	}
	anew := hashing.New(d.Algorithms())
	anew.Write(have)
	if d.MD5() != anew.MD5() || d.SHA256() != anew.SHA256() {
		w.rig.t.Errorf("checkpoint at %d: its digest is not that of the synced bytes", cp.Offset)
	}
	w.claimed = max(w.claimed, cp.Offset)
	w.commits = append(w.commits, cp.Offset)
}

// notAhead checks, before the journal is written, that what is about to be
// written is not shown yet.
func (w *witness) notAhead() {
	if w.shown == nil {
		return
	}
	state := stateIn(w.inner.Record())
	s, m := w.shown()
	if s.State != state || metricOf(m, `ota_update_state{state="`+state.Label()+`"}`) != 1 {
		w.rig.t.Errorf("%s is shown while the journal holds %s", s.State, state)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if gauge := metricOf(m, "ota_download_durable_bytes"); s.Durable > w.claimed || gauge > float64(w.claimed) {
		w.rig.t.Errorf("shown as durable are %d bytes, %v in the metrics, while the journal never held more than %d", s.Durable, gauge, w.claimed)
	}
}

// seen checks what an observer is told against the journal's file.
func (w *witness) seen(s fsm.Snapshot) {
	rec, offset := w.rig.record()
	if s.State != stateIn(rec) || s.Durable > offset || s.Error != rec.Error {
		w.rig.t.Errorf("observed %s with %d bytes and error %q, the journal holds %s with %d and %q",
			s.State, s.Durable, s.Error, rec.State, offset, rec.Error)
	}
	if strings.Contains(s.Error+s.Message, secret) {
		w.rig.t.Errorf("a secret is shown: %q %q", s.Message, s.Error)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shows = append(w.shows, s)
}

func stateIn(rec journal.Record) fsm.State {
	if rec.State == "" {
		return fsm.Idle
	}
	return fsm.State(rec.State)
}
