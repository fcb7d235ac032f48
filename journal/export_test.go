package journal

import "os"

// Seams for the tests in package journal_test; nothing else may reach inside.

const (
	MaxRecord = maxRecord
	PageSize  = pageSize
	Reserved  = reserved
)

var (
	EncodeCheckpoint = encodeCheckpoint
	OpenAt           = openAt
	OpenError        = openError
)

// MarkOpening is a start in dir that ends inside bbolt.
func MarkOpening(dir *os.File) error { return markOpening(directory{dir, openAt}) }

// DecodeRecord and DecodeCheckpoint accept the values of this build's version
// and of newer ones.
func DecodeRecord(raw []byte) (Record, error) {
	r, _, err := decodeRecord(raw)
	return r, err
}

func DecodeCheckpoint(raw []byte) (Checkpoint, error) {
	c, _, err := decodeCheckpoint(raw)
	return c, err
}

// EncodeRecord returns r cut to what is kept, and its stored form.
func EncodeRecord(r Record) (Record, []byte, error) { return fit(r) }

// Stored returns the stored value of a body in the version of this build.
func Stored(body []byte) []byte { return StoredAs(RecordVersion, body) }

// StoredAs returns the stored value of a body in any version.
func StoredAs(version byte, body []byte) []byte { return appendChecksum(nil, version, body) }

// Verify reports whether file would be given to bbolt.
func Verify(file []byte) error {
	_, err := verify(file)
	return err
}

// ApplyUnseen writes what a transaction would that bbolt applied but reported
// as failed: the file is ahead of the memory.
func (j *Journal) ApplyUnseen(r Record, checkpoints ...Checkpoint) error {
	_, raw, err := fit(r)
	if err != nil {
		return err
	}
	return j.db.Update((&contents{record: r, raw: raw, checkpoints: checkpoints}).image().writeTo)
}

// ReplaceStored writes stored values into the file, as another build would.
// Slots without a value keep theirs.
func (j *Journal) ReplaceStored(record []byte, slots map[int][]byte) error {
	m := j.published.Load().image()
	if record != nil {
		m.parts = (&contents{raw: record}).image().parts
	}
	for i, raw := range slots {
		m.slots[i] = raw
	}
	return j.db.Update(m.writeTo)
}
