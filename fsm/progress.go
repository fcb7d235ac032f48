package fsm

import (
	"math"
	"math/bits"
	"sync"
	"time"

	"otad/journal"
)

// Snapshot is what the machine shows of itself at one moment.
type Snapshot struct {
	State          State
	Version, Name  string
	Size           int64         // bytes; 0 while it is not known
	Durable        int64         // bytes that a power cut cannot take
	Progress       int           // whole percent of the state's work, rounded down
	BytesPerSecond int64         // over the last seconds, from the network
	ETA            time.Duration // -1: not known
	Retries        int           // of this job since the process started
	ResumedFrom    int64         // offset at which this process took the job up
	Message        string        // one line for a person
	Error          string        // "CODE: detail" in Failed, else empty
}

// SnapshotOf is what a journal that nobody works on shows of its job.
func SnapshotOf(rec journal.Record, newestFirst []journal.Checkpoint) Snapshot {
	return (&progress{shown: recorded(rec, newestFirst)}).snapshot()
}

func recorded(rec journal.Record, newestFirst []journal.Checkpoint) Snapshot {
	state := stateOf(rec)
	return Snapshot{State: state, Version: rec.Job.Version, Name: rec.Job.Name, Size: sized(rec).Size,
		Durable: durable(newestFirst), Message: message(state), Error: rec.Error}
}

// stateOf is the state that the record holds; a new journal is Idle.
func stateOf(rec journal.Record) State {
	if rec.State == "" {
		return Idle
	}
	return State(rec.State)
}

// message is what a person reads of a state.
func message(s State) string {
	switch s {
	case Downloading:
		return "Downloading"
	case Verifying:
		return "Verifying"
	case Ready:
		return "Package ready"
	case Failed:
		return "Failed"
	default:
		return "Updater ready"
	}
}

// progress is the live side of a Snapshot. The transfer writes it, any
// goroutine reads it; it never waits for the disk.
type progress struct {
	mu       sync.Mutex
	shown    Snapshot
	verified int64 // bytes read back in Verifying
	readback bool
	rate     rate
	start    time.Time // of the process: the rate must not see the board's clock jump
}

func newProgress() *progress { return &progress{start: time.Now()} }

// change edits what is shown and returns the result.
func (p *progress) change(f func(*Snapshot)) Snapshot {
	p.mu.Lock()
	f(&p.shown)
	p.mu.Unlock()
	return p.snapshot()
}

// received counts bytes from the network towards the rate.
func (p *progress) received(n int64) {
	p.mu.Lock()
	p.rate.add(time.Since(p.start), n)
	p.mu.Unlock()
}

// readBack shows how far the durable file has been read again.
func (p *progress) readBack(n int64) {
	p.mu.Lock()
	p.readback, p.verified = true, n
	p.mu.Unlock()
}

// quiet forgets the rate: nothing is being received any more. readback says
// whether the file is going to be read back, should Verifying come.
func (p *progress) quiet(readback bool) {
	p.mu.Lock()
	p.rate, p.readback, p.verified = rate{}, readback, 0
	p.mu.Unlock()
}

func (p *progress) snapshot() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shown
	s.ETA = -1
	switch s.State {
	case Downloading:
		s.Progress = percent(s.Durable, s.Size)
		s.BytesPerSecond = p.rate.perSecond(time.Since(p.start))
		if s.BytesPerSecond > 0 && s.Size > 0 {
			s.ETA = eta(s.Size-s.Durable, s.BytesPerSecond)
		}
	case Verifying:
		s.Progress = 100
		if p.readback {
			s.Progress = percent(p.verified, s.Size)
		}
	case Ready:
		s.Progress = 100
	case Failed:
		s.Progress = percent(s.Durable, s.Size)
	default:
		s.Progress = 0
	}
	return s
}

// percent rounds down and survives sizes of the whole int64 range.
func percent(n, of int64) int {
	switch {
	case of <= 0 || n <= 0:
		return 0
	case n >= of:
		return 100
	default:
		high, low := bits.Mul64(uint64(n), 100)
		whole, _ := bits.Div64(high, low, uint64(of))
		return int(whole)
	}
}

// eta is in whole seconds; one beyond what a Duration holds (292 years) is not
// known.
func eta(bytes, perSecond int64) time.Duration {
	seconds := bytes / perSecond
	if seconds > int64(math.MaxInt64/time.Second) {
		return -1
	}
	return time.Duration(seconds) * time.Second
}

// rate measures bytes a second over a sliding window, so that a stalled link
// shows as slow and then as nothing, and not as its past. Time is counted from
// the start of the process.
type rate struct {
	slots [rateWindow]rateSlot
}

type rateSlot struct{ second, bytes int64 }

// rateWindow is in seconds, the current one included.
const rateWindow = 11

func (r *rate) add(at time.Duration, n int64) {
	second := int64(at / time.Second)
	slot := &r.slots[second%rateWindow]
	if slot.second != second {
		*slot = rateSlot{second: second}
	}
	slot.bytes += n
}

func (r *rate) perSecond(at time.Duration) int64 {
	now := int64(at / time.Second)
	oldest, sum := now, int64(0)
	for _, s := range r.slots {
		if s.bytes > 0 && s.second > now-rateWindow {
			sum += s.bytes
			oldest = min(oldest, s.second)
		}
	}
	// The oldest second counts whole, the current one by what has passed of it;
	// at least a quarter, so that the first figure is no fancy.
	elapsed := max((at - time.Duration(oldest)*time.Second).Seconds(), 0.25)
	return int64(float64(sum) / elapsed)
}
