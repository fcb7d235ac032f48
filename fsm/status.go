package fsm

import (
	"math"
	"math/bits"
	"net/url"
	"time"

	"otad/journal"
)

// Snapshot is the state of the machine and its job at one moment.
type Snapshot struct {
	State          State
	Stage          Stage // of the installation of a package that is Ready
	Version, Name  string
	Size           int64         // bytes; 0 while it is not known
	Durable        int64         // bytes that a power cut cannot take
	Received       int64         // bytes that are here, those included
	Progress       int           // whole percent of the state's work, rounded down
	BytesPerSecond int64         // over the last seconds, from the network
	ETA            time.Duration // -1: not known
	Retries        int           // of this job since the process started
	Tries          int           // times in a row that the job failed; it is started again by itself
	NextTry        time.Duration // until then; 0: it is not
	ResumedFrom    int64         // offset at which this process began with the job
	Message        string        // one line for a person
	Error          string        // "CODE: detail" in Failed and in StageFailed, else empty
	Code           Code          // of the error; empty without one
	Reason         Reason        // of the error; empty for the codes that have none
	Stats          journal.Stats // of the job over all processes
	Host           string        // of the job's URL; empty: not known
	Output         string        // path of the device that the package goes to; empty: a file
	SignedBy       string        // number of the key, as minisign prints it; empty: no signature was asked for, or it is not known yet
	failure        *Error
}

// Err returns the error of a job that failed, nil in any other state.
func (s Snapshot) Err() error {
	if s.failure == nil {
		return nil
	}
	return s.failure
}

// SnapshotOf returns the snapshot of a journal that no updater has open.
func SnapshotOf(rec journal.Record, newestFirst []journal.Checkpoint) Snapshot {
	return recorded(rec, newestFirst, false)
}

// recorded returns what the journal alone says of its job. readback reports
// whether Verifying reads the file back, which is 0 % at its beginning.
func recorded(rec journal.Record, newestFirst []journal.Checkpoint, readback bool) Snapshot {
	state := stateOf(rec)
	job := jobWithSize(rec)
	s := Snapshot{State: state, Version: job.Version, Name: job.Name, Size: job.Size, SignedBy: rec.Signed.Key,
		Durable: newestOffset(newestFirst), ETA: -1, Tries: rec.Tries, Message: state.message(),
		Error: rec.Error, Stats: rec.Stats, Host: hostOf(rec.Job.URL), Output: rec.Job.Output, failure: recordedError(rec)}
	if s.failure != nil {
		s.Code, s.Reason = s.failure.Code, s.failure.Reason
	}
	if state == Ready {
		s = s.withInstall(rec.Install)
	}
	s.Received, s.Progress = s.Durable, progress(s, 0, readback)
	return s
}

// hostOf returns the host of a URL, without anything that may be a secret.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

// progress returns the whole percent of the state's work. verified is how many
// bytes were read back.
func progress(s Snapshot, verified int64, readback bool) int {
	switch s.State {
	case Downloading, Failed:
		return percent(s.Durable, s.Size)
	case Verifying:
		if readback {
			return percent(verified, s.Size)
		}
		return 100
	case Ready:
		if s.Stage == StageInstalling {
			return 0
		}
		return 100
	default:
		return 0
	}
}

// percent rounds down and holds for sizes of the whole int64 range.
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

// received returns the bytes that are here. ahead of them are not durable yet.
func received(s Snapshot, ahead int64) int64 {
	if s.Size > 0 {
		ahead = max(0, min(ahead, s.Size-s.Durable)) // an answer may go on after its end
	}
	return s.Durable + ahead
}

// eta returns whole seconds. A time beyond what a Duration holds (292 years) is
// not known.
func eta(bytes, perSecond int64) time.Duration {
	seconds := bytes / perSecond
	if seconds > int64(math.MaxInt64/time.Second) {
		return -1
	}
	return time.Duration(seconds) * time.Second
}

// rate measures bytes a second over a sliding window, so that a link that stalls
// is shown as slow and then as 0, and not at its earlier rate. Time is counted
// from the start of the process.
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
	// The elapsed time runs from the start of the oldest second to now. It is at
	// least 0.25 s: otherwise the first value would be far too high.
	elapsed := max((at - time.Duration(oldest)*time.Second).Seconds(), 0.25)
	return int64(float64(sum) / elapsed)
}
