package journal

// Seams for the tests in package journal_test; nothing else may reach inside.

const (
	MaxRecord = maxRecord
	PageSize  = pageSize
	Reserved  = reserved
)

var (
	EncodeCheckpoint = encodeCheckpoint
	DecodeCheckpoint = decodeCheckpoint
	DecodeRecord     = decodeRecord
	Explain          = explain
)

// EncodeRecord returns r cut to what is kept, and its stored form.
func EncodeRecord(r Record) (Record, []byte, error) { return fit(r) }

// Seal turns body into a stored value of the record's version.
func Seal(body []byte) []byte {
	b := append(make([]byte, sealSize), body...)
	seal(b, recordVersion)
	return b
}

// Verify reports whether file would be given to bbolt.
func Verify(file []byte) error {
	_, err := verify(file)
	return err
}

// ApplyBehindItsBack writes what a transaction would that bbolt applied but
// reported as failed: the file is ahead of the memory.
func (j *Journal) ApplyBehindItsBack(r Record, checkpoints ...Checkpoint) error {
	_, raw, err := fit(r)
	if err != nil {
		return err
	}
	return j.db.Update((&contents{record: r, raw: raw, checkpoints: checkpoints}).image().store)
}

// Enter does what a start that never gets to the end of opening does.
func Enter(dir string) error { return enter(dir) }
