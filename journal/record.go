package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a [Record], so that the file stays within 64 KiB.
const (
	MaxOutbox = 16  // entries of the outbox; the newest are kept
	MaxText   = 512 // bytes of an error or message text
	MaxEntry  = 384 // bytes of such a text in the outbox
	MaxTag    = 512 // bytes of an ETag or Last-Modified; a longer one, or one not in UTF-8, is left out

	MaxPublished = 64 // packages that are remembered; the newest are kept, as far as there is room
)

// RecordVersion is the version of the record that this build writes. A board
// with two images can go back to an older otad, so an older build must be able
// to use the record of a later one:
//
//   - Frozen are all JSON keys of version 1 but "changed" and "unsatisfiable":
//     no version may drop one, rename it, or change its type or meaning.
//   - A later version may add keys, also inside the objects, and may add
//     values of "state", "code" and "reason".
//   - Frozen are also the buckets and keys of the file, the integers of a
//     checkpoint, and the checksum around both.
//   - A new machine state raises the version. So does anything else that an
//     older build would misread.
//
// A build reads the frozen keys of a later version, ignores unknown keys, and
// keeps State as the text that it is. It leaves the stored record as it is
// until its next [Journal.Update], which writes its own version. Only a record
// whose frozen keys do not decode, or whose job breaks a rule of
// [Job.Validate], counts as damage.
const RecordVersion = 1

// ErrTooLarge is returned by [Journal.Update] for a record that cannot be
// stored even without its outbox.
var ErrTooLarge = errors.New("journal: record too large")

// Validator identifies the object behind a URL: ETag, Last-Modified and total
// length in bytes of the first response (RFC 9110, section 8.8).
type Validator struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	Total        int64  `json:"total,omitempty"`
	Absent       bool   `json:"absent,omitempty"` // the response had neither ETag nor Last-Modified; false: not known
}

// Stats are what a job has cost over all processes, as of the last update of the
// record or the last [Checkpoint] with Stats: what a killed process did after it
// is not counted.
type Stats struct {
	Seconds   int64 `json:"seconds,omitempty"`   // of work on the job, waits included
	Received  int64 `json:"received,omitempty"`  // bytes from the network
	Discarded int64 `json:"discarded,omitempty"` // bytes of them that were not kept
	Resumes   int64 `json:"resumes,omitempty"`
	Retries   int64 `json:"retries,omitempty"`

	Progress Progress `json:"progress,omitzero"` // the last one; an older otad forgets it
}

// OutboxEntry is a transition that is not yet delivered to the callback URL.
type OutboxEntry struct {
	Seq      uint64 `json:"seq"`
	State    string `json:"state"`
	Progress int    `json:"progress"` // percent
	Message  string `json:"message,omitempty"`
	Error    string `json:"error,omitempty"` // empty unless failed
	Code     string `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Install  string `json:"install,omitempty"` // stage of the installation; empty: a transition of the machine

	// Job names the job of this entry and of those before it, back to the next
	// entry that names one. Zero on the entries of the record's own job.
	Job EntryJob `json:"job,omitzero"`
}

// EntryJob is what the receiver of an entry gets of its job.
type EntryJob struct {
	Version string `json:"version,omitempty"`
	Name    string `json:"name"`
	MD5     string `json:"md5,omitempty"`
}

// Entry returns what the outbox keeps of j.
func (j Job) Entry() EntryJob { return EntryJob{Version: j.Version, Name: j.Name, MD5: j.MD5} }

// isSound reports whether j could be a job's.
func (j EntryJob) isSound() bool {
	return storedNameProblem(j.Name) == "" && (j.Version == "" || VersionProblem(j.Version) == "") && (j.MD5 == "" || DigestProblem(j.MD5, 32) == "")
}

// Published is a package that otad has given its final name. Size, Inode and
// Modified show whether the file of that name is still the one.
type Published struct {
	Name     string `json:"name"`
	Size     int64  `json:"size,omitempty"`     // bytes
	Inode    uint64 `json:"inode,omitempty"`    // number of the file
	Modified int64  `json:"modified,omitempty"` // nanoseconds since 1970
}

// Record is everything but the checkpoints that the updater needs after a power
// cut. The state machine defines what the fields mean; the journal itself uses
// Generation only. The JSON keys are part of the format, see [RecordVersion].
type Record struct {
	State          string        `json:"state,omitempty"`
	Job            Job           `json:"job,omitzero"`
	Generation     uint64        `json:"generation,omitempty"` // of the bytes on disk: checkpoints of another one are ignored
	Validator      Validator     `json:"validator,omitzero"`
	Error          string        `json:"error,omitempty"`  // text of the failure, empty unless failed
	Code           string        `json:"code,omitempty"`   // its code; empty in a record of a build before codes were stored
	Reason         string        `json:"reason,omitempty"` // its reason, if any
	Stats          Stats         `json:"stats,omitzero"`
	Tries          int           `json:"tries,omitempty"`         // failures in a row, each reported
	TryStep        int           `json:"try_step,omitempty"`      // of them, those in a row without a byte committed
	TryOffset      int64         `json:"try_offset,omitempty"`    // most bytes durable at one of them
	Mixed          bool          `json:"mixed,omitempty"`         // bytes of several responses are joined without a validator
	Mismatched     int           `json:"mismatched,omitempty"`    // times that mixed bytes did not match the digest
	Changed        int           `json:"changed,omitempty"`       // times the object changed under this job
	Unsatisfiable  int           `json:"unsatisfiable,omitempty"` // times the origin refused the offset
	Restarts       int           `json:"take_ups,omitempty"`      // starts in a row that made no progress
	RestartsSeq    uint64        `json:"take_ups_seq,omitempty"`  // Seq of the newest checkpoint at the last of them
	Outbox         []OutboxEntry `json:"outbox,omitempty"`        // oldest first
	OutboxSeq      uint64        `json:"notice_seq,omitempty"`    // Seq of the newest entry ever made
	PendingDeletes []string      `json:"garbage,omitempty"`       // names of files to be removed
	OwnSuffix      bool          `json:"own_suffix,omitempty"`    // partial files are NAME.otad-part; false: NAME.part, as an earlier build wrote them
	Published      []Published   `json:"published,omitempty"`     // oldest first; an older otad forgets them
	Staged         int64         `json:"staged,omitempty"`        // where in the partial file the bytes before the only checkpoint are, until they are moved to 0
	Last           Last          `json:"last,omitzero"`           // the job that ended last; an older otad forgets it
	Install        Install       `json:"install,omitzero"`        // of the package that is Ready
}

func (r Record) clone() Record {
	r.Outbox = slices.Clone(r.Outbox)
	r.PendingDeletes = slices.Clone(r.PendingDeletes)
	r.Published = slices.Clone(r.Published)
	return r
}

// bounded returns r cut to the bounds. r must not share memory with another
// record.
func (r Record) bounded() Record {
	r.Outbox = slices.Clone(r.Outbox[max(0, len(r.Outbox)-MaxOutbox):])
	for i := range r.Outbox {
		e := &r.Outbox[i]
		e.Message, e.Error = boundedText(e.Message, MaxEntry), boundedText(e.Error, MaxEntry)
		if !e.Job.isSound() {
			e.Job = EntryJob{}
		}
	}
	r.Error = boundedText(r.Error, MaxText)
	r.Validator.ETag = boundedTag(r.Validator.ETag)
	r.Validator.LastModified = boundedTag(r.Validator.LastModified)
	r.Validator.Total = max(0, r.Validator.Total)
	r.Tries, r.TryStep, r.TryOffset = max(0, r.Tries), max(0, r.TryStep), max(0, r.TryOffset)
	r.Restarts, r.Staged = max(0, r.Restarts), max(0, r.Staged)
	r.Last, r.Stats.Progress = r.Last.bounded(), r.Stats.Progress.bounded()
	r.PendingDeletes = slices.DeleteFunc(slices.Clone(r.PendingDeletes), func(name string) bool { return storedNameProblem(name) != "" })
	r.Published = slices.DeleteFunc(slices.Clone(r.Published), func(p Published) bool { return storedNameProblem(p.Name) != "" })
	r.Published = r.Published[max(0, len(r.Published)-MaxPublished):]
	r.Install = r.Install.bounded()
	return r
}

// boundedText returns the longest valid UTF-8 prefix of s within most bytes.
func boundedText(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// boundedTag returns s, or "" if s cannot be stored unchanged. Part of an ETag,
// or one with bytes that JSON changes, would be another ETag, which no response
// ever matches. Without an ETag the length still identifies the object.
func boundedTag(s string) string {
	if len(s) > MaxTag || !utf8.ValidString(s) {
		return ""
	}
	return s
}

// fit returns r cut to the bounds, and its stored form. While the record is too
// large it drops the oldest published packages, whose files then stay, and after
// them the oldest outbox entries.
func fit(r Record) (Record, []byte, error) {
	r = r.bounded()
	for {
		raw, err := encodeRecord(r)
		if err != nil || len(raw) <= maxRecord {
			return r, raw, err
		}
		if len(r.Published) > 0 {
			r.Published = slices.Delete(r.Published, 0, 1)
			continue
		}
		if len(r.Outbox) == 0 {
			return r, nil, fmt.Errorf("%w: %d bytes, %d fit", ErrTooLarge, len(raw), maxRecord)
		}
		r.Outbox = r.Outbox[1:]
	}
}

// encodeRecord returns the stored form of r: JSON with a checksum.
func encodeRecord(r Record) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // each & of a query would take six bytes
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return appendChecksum(nil, RecordVersion, bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// decodeRecord returns a stored record and its version.
func decodeRecord(raw []byte) (Record, byte, error) {
	var r Record
	version, body, err := verifyChecksum(raw)
	switch {
	case err != nil:
	case version > RecordVersion:
		r, err = decodeNewer(body)
	default:
		if err = json.Unmarshal(body, &r); err == nil {
			r, err = r.checked()
		}
	}
	if err != nil {
		return Record{}, 0, fmt.Errorf("record: %w", err)
	}
	return r, version, nil
}

// decodeNewer returns the frozen part of a record of a newer version.
func decodeNewer(body []byte) (Record, error) {
	var newer struct {
		Record
		// Keys that are not frozen. Here they take precedence over Record's.
		Changed       json.RawMessage `json:"changed"`
		Unsatisfiable json.RawMessage `json:"unsatisfiable"`
	}
	if err := json.Unmarshal(body, &newer); err != nil {
		return Record{}, err
	}
	return newer.Record.checked()
}

// checked returns a record that was read, cut to the bounds. A checksum shows
// that somebody wrote these bytes, not that otad did: a job that breaks a rule
// is an error.
func (r Record) checked() (Record, error) {
	r = r.bounded()
	if r.Job == (Job{}) {
		return r, nil
	}
	// A package that is ready needs no URL any more.
	return r, r.Job.validate(r.Job.URL != "")
}
