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

// Bounds of what a Record keeps, so that the file stays within 64 KiB.
const (
	MaxOutbox = 16  // newest are kept
	MaxText   = 512 // bytes of an error or message text
	MaxTag    = 512 // bytes of an ETag or Last-Modified; a longer one, or one not in UTF-8, is left out
)

// recordVersion changes when a field gets another meaning. A journal with a
// later one is set aside, as is any other that cannot be read.
const recordVersion = 1

// ErrTooLarge is returned by [Journal.Update] for a record that cannot be
// stored even without its notices.
var ErrTooLarge = errors.New("journal: record too large")

// Validator is what tells two objects under one URL apart: the first answer's
// ETag, Last-Modified and total length in bytes (RFC 9110, section 8.8).
type Validator struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	Total        int64  `json:"total,omitempty"`
}

// OutboxEntry is a transition that the callback URL is still to be told of.
type OutboxEntry struct {
	Seq      uint64 `json:"seq"`
	State    string `json:"state"`
	Progress int    `json:"progress"` // percent
	Message  string `json:"message,omitempty"`
	Error    string `json:"error,omitempty"` // empty unless failed
	Code     string `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Record is everything the updater must find again after a power cut, but for
// the checkpoints. What the fields mean is up to the state machine; the
// journal itself looks at Generation only.
type Record struct {
	State          string        `json:"state,omitempty"`
	Job            Job           `json:"job,omitzero"`
	Generation     uint64        `json:"generation,omitempty"` // of the bytes on disk: checkpoints of another one do not count
	Validator      Validator     `json:"validator,omitzero"`
	Error          string        `json:"error,omitempty"`         // text of the failure, empty unless failed
	Code           string        `json:"code,omitempty"`          // its code; empty in a record of a build before codes were stored
	Reason         string        `json:"reason,omitempty"`        // its reason, where it has one
	Tries          int           `json:"tries,omitempty"`         // times in a row that the job was reported failed and started again by itself
	TryStep        int           `json:"try_step,omitempty"`      // of them, those in a row without a byte committed
	Mixed         bool          `json:"mixed,omitempty"` // bytes of answers are joined that no validator holds together
	Mismatched     int           `json:"mismatched,omitempty"`    // times that bytes of several answers did not match the digest
	TryOffset      int64         `json:"try_offset,omitempty"`    // bytes durable at the last of them
	Changed        int           `json:"changed,omitempty"`       // times the object changed under this job
	Unsatisfiable  int           `json:"unsatisfiable,omitempty"` // times the origin refused the offset
	Restarts       int           `json:"take_ups,omitempty"`      // starts in a row that made no progress
	RestartsSeq    uint64        `json:"take_ups_seq,omitempty"`  // newest checkpoint at the last of them
	Outbox         []OutboxEntry `json:"outbox,omitempty"`        // oldest first
	OutboxSeq      uint64        `json:"notice_seq,omitempty"`    // of the newest notice ever made
	PendingDeletes []string      `json:"garbage,omitempty"`       // names whose files are to be removed
}

func (r Record) clone() Record {
	r.Outbox = slices.Clone(r.Outbox)
	r.PendingDeletes = slices.Clone(r.PendingDeletes)
	return r
}

// bounded cuts r, which must not share memory with another, to what is kept.
func (r Record) bounded() Record {
	r.Outbox = slices.Clone(r.Outbox[max(0, len(r.Outbox)-MaxOutbox):])
	for i := range r.Outbox {
		n := &r.Outbox[i]
		n.Message, n.Error = cut(n.Message), cut(n.Error)
	}
	r.Error = cut(r.Error)
	r.Validator.ETag = tag(r.Validator.ETag)
	r.Validator.LastModified = tag(r.Validator.LastModified)
	return r
}

// cut returns the longest valid UTF-8 beginning of s within MaxText bytes.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= MaxText {
		return s
	}
	return strings.ToValidUTF8(s[:MaxText], "")
}

// tag returns s if it can be kept whole. Half an ETag, or one with bytes that
// JSON cannot carry, would be another ETag and no answer would match it ever
// again; without one the length still tells.
func tag(s string) string {
	if len(s) > MaxTag || !utf8.ValidString(s) {
		return ""
	}
	return s
}

// fit cuts r to what is kept, drops the oldest notices where it is still too
// large, and returns it with its stored form.
func fit(r Record) (Record, []byte, error) {
	r = r.bounded()
	for {
		raw, err := encodeRecord(r)
		if err != nil || len(raw) <= maxRecord {
			return r, raw, err
		}
		if len(r.Outbox) == 0 {
			return r, nil, fmt.Errorf("%w: %d bytes, %d fit", ErrTooLarge, len(raw), maxRecord)
		}
		r.Outbox = r.Outbox[1:]
	}
}

// encodeRecord returns the stored form: the record in JSON, sealed.
func encodeRecord(r Record) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, sealSize, 1024))
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false) // each & of a query would take six bytes
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	raw := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	seal(raw, recordVersion)
	return raw, nil
}

func decodeRecord(raw []byte) (Record, error) {
	var r Record
	body, err := unseal(raw, recordVersion)
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	if err != nil {
		return Record{}, fmt.Errorf("record: %w", err)
	}
	return r, nil
}
