package journal_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"otad/journal"
)

// frozenBody is a record as a newer otad may write it: the frozen keys, unknown
// keys at every level, a state and a code that this build does not know, and
// keys that are not frozen with another type.
const frozenBody = `{
	"state": "Installing",
	"job": {"version": "1.2.3", "url": "https://example.com/u.zip?sig=abc", "name": "u.zip", "size": 104857600,
		"md5": "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "sha512": "0f", "mirrors": ["https://b.example.com/u.zip"]},
	"generation": 7,
	"validator": {"etag": "\"abc-40\"", "last_modified": "Mon, 23 Nov 2026 16:58:00 GMT", "total": 104857600, "weak": true},
	"error": "INSTALL_FAILED: no slot", "code": "INSTALL_FAILED", "reason": "NO_SLOT",
	"changed": {"times": 1}, "unsatisfiable": "often",
	"take_ups": 3, "take_ups_seq": 41,
	"outbox": [{"seq": 8, "state": "Installing", "progress": 55, "message": "m", "error": "e", "slot": "b"}],
	"notice_seq": 9, "garbage": ["old.zip"],
	"slot": {"active": "b"}
}`

// frozenRecord is what this build reads of frozenBody.
func frozenRecord() journal.Record {
	job := goodJob()
	job.URL, job.SHA256 = "https://example.com/u.zip?sig=abc", ""
	return journal.Record{
		State:          "Installing",
		Job:            job,
		Generation:     7,
		Validator:      recordWithoutTries().Validator,
		Error:          "INSTALL_FAILED: no slot",
		Code:           "INSTALL_FAILED",
		Reason:         "NO_SLOT",
		Restarts:       3,
		RestartsSeq:    41,
		Outbox:         []journal.OutboxEntry{{Seq: 8, State: "Installing", Progress: 55, Message: "m", Error: "e"}},
		OutboxSeq:      9,
		PendingDeletes: []string{"old.zip"},
	}
}

// storedCheckpoint is the stored form of cp in a newer version, with extra
// bytes behind the digest state.
func storedCheckpoint(cp journal.Checkpoint, extra string) []byte {
	body := journal.EncodeCheckpoint(cp)[len(journal.Stored(nil)):]
	return journal.StoredAs(2, append(bytes.Clone(body), extra...))
}

// replaceStored makes a journal of fullRecord's generation with checkpoints at
// 5 and 6, and overwrites its record and the checkpoint at 6 where given.
func replaceStored(t *testing.T, record, newest []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	j := mustOpen(t, dir)
	mustUpdate(t, j, func(r *journal.Record) { *r = fullRecord() })
	mustCommit(t, j, checkpointAt(5))
	mustCommit(t, j, checkpointAt(6))
	slots := map[int][]byte{}
	if newest != nil {
		slots[2] = newest
	}
	if err := j.ReplaceStored(record, slots); err != nil {
		t.Fatal(err)
	}
	j.Close()
	return dir
}

func newestCheckpoint() journal.Checkpoint {
	cp := checkpointAt(6)
	cp.Seq, cp.Generation = 2, 7
	return cp
}

func TestNewerJournalIsUsed(t *testing.T) {
	appended := newestCheckpoint()
	appended.Digest = append(bytes.Clone(appended.Digest), "+++"...)
	dropped := newestCheckpoint()
	dropped.Digest = []byte{}
	tests := []struct {
		name       string
		record     []byte
		checkpoint []byte
		wantRecord journal.Record
		wantNewest journal.Checkpoint
		wantReason string
	}{
		{"record", journal.StoredAs(2, []byte(frozenBody)), nil,
			frozenRecord(), newestCheckpoint(), "the record is of version 2"},
		{"record of the last version there can be", journal.StoredAs(255, []byte(frozenBody)), nil,
			frozenRecord(), newestCheckpoint(), "the record is of version 255"},
		{"checkpoint", nil, storedCheckpoint(newestCheckpoint(), ""),
			fullRecord(), newestCheckpoint(), "a checkpoint is of version 2"},
		{"checkpoint with more bytes", nil, storedCheckpoint(newestCheckpoint(), "+++"),
			fullRecord(), appended, "a checkpoint is of version 2"},
		{"checkpoint with more bytes than fit", nil, storedCheckpoint(newestCheckpoint(), strings.Repeat("+", 100)),
			fullRecord(), dropped, "a checkpoint is of version 2"},
		{"both", journal.StoredAs(2, []byte(frozenBody)), storedCheckpoint(newestCheckpoint(), ""),
			frozenRecord(), newestCheckpoint(), "the record is of version 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := replaceStored(t, tt.record, tt.checkpoint)
			older := checkpointAt(5)
			older.Seq, older.Generation = 1, 7
			want := []journal.Checkpoint{tt.wantNewest, older}
			r, checkpoints, err := journal.Peek(dir)
			if err != nil || !reflect.DeepEqual(r, tt.wantRecord) || !sameJSON(t, checkpoints, want) {
				t.Errorf("Peek = %v\n%+v\n%+v, want\n%+v\n%+v", err, r, checkpoints, tt.wantRecord, want)
			}
			j := mustOpen(t, dir)
			if got := j.Recovery(); got.Result != journal.Newer || !strings.HasPrefix(got.Reason, tt.wantReason) {
				t.Errorf("recovery %+v, want %s", got, tt.wantReason)
			}
			if got := j.Record(); !reflect.DeepEqual(got, tt.wantRecord) {
				t.Errorf("record\n%+v, want\n%+v", got, tt.wantRecord)
			}
			if got := j.Checkpoints(); !sameJSON(t, got, want) {
				t.Errorf("checkpoints\n%+v, want\n%+v", got, want)
			}
			wantFiles(t, dir, journal.FileName)
			// The first update writes this build's version.
			mustCommit(t, j, checkpointAt(7))
			mustUpdate(t, j, func(r *journal.Record) { r.State = "Downloading" })
			tt.wantRecord.State = "Downloading"
			reopened(t, dir, j, tt.wantRecord, j.Checkpoints())
		})
	}
}

// TestCheckpointsLeaveANewerRecordAsItIs keeps the keys that this build does
// not know for a return to the newer one, as long as nothing else changes.
func TestCheckpointsLeaveANewerRecordAsItIs(t *testing.T) {
	stored := journal.StoredAs(2, []byte(frozenBody))
	dir := replaceStored(t, stored, nil)
	for i := range int64(3) {
		j := mustOpen(t, dir)
		mustCommit(t, j, checkpointAt(10+i))
		if got := j.Recovery().Result; got != journal.Newer {
			t.Errorf("recovery %s", got)
		}
		j.Close()
		if !bytes.Contains(readFile(t, dir), stored) {
			t.Error("the stored record was changed")
		}
	}
}

func TestNewerJournalIsSetAside(t *testing.T) {
	change := func(old, new string) []byte {
		if !strings.Contains(frozenBody, old) {
			t.Fatalf("%s is not in the record", old)
		}
		return journal.StoredAs(2, []byte(strings.Replace(frozenBody, old, new, 1)))
	}
	flipped := journal.StoredAs(2, []byte(frozenBody))
	flipped[len(flipped)-1] ^= 1
	tests := map[string][]byte{
		"a checksum that does not match": flipped,
		"no JSON":                        journal.StoredAs(2, []byte("otad")),
		"an array":                       journal.StoredAs(2, []byte("[]")),
		"a state of another type":        change(`"Installing"`, `["Installing"]`),
		"a job of another type":          change(`"job": {`, `"job": 1, "was": {`),
		"a name of another type":         change(`"name": "u.zip"`, `"name": 1`),
		"a size of another type":         change(`"size": 104857600`, `"size": "100 MiB"`),
		"a negative size":                change(`"size": 104857600`, `"size": -1`),
		"a name with a path":             change(`"name": "u.zip"`, `"name": "../u.zip"`),
		"a job without a name":           change(`"name": "u.zip"`, `"file": "u.zip"`),
		"a job without a digest":         change(`"md5"`, `"crc32"`),
		"a digest of another form":       change(`"0f0f`, `"0F0F`),
		"a version of another form":      change(`"1.2.3"`, `"1.2.3-rc1"`),
		"a generation of another type":   change(`"generation": 7`, `"generation": -7`),
		"a validator of another type":    change(`"total": 104857600`, `"total": "100 MiB"`),
		"an outbox of another type":      change(`"progress": 55`, `"progress": "55 %"`),
		"garbage of another type":        change(`["old.zip"]`, `"old.zip"`),
		"restarts of another type":       change(`"take_ups": 3`, `"take_ups": "3"`),
	}
	for name, record := range tests {
		t.Run(name, func(t *testing.T) {
			dir := replaceStored(t, record, nil)
			if r, _, err := journal.Peek(dir); err == nil {
				t.Errorf("Peek = %+v", r)
			}
			j := mustOpen(t, dir)
			if got := j.Recovery(); got.Result != journal.SetAside || got.Reason == "" {
				t.Errorf("recovery %+v", got)
			}
			reopened(t, dir, j, journal.Record{}, nil)
			wantFiles(t, dir, journal.FileName, "journal.db.corrupt")
		})
	}
}

// An otad that does not know the end of the last job and the time of the last
// progress reads the rest of the record as if they were not there.
func TestOlderOtadIgnoresTheLastJob(t *testing.T) {
	known := func(r journal.Record) map[string]any {
		_, raw, err := journal.EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := json.Unmarshal(raw[len(journal.Stored(nil)):], &keys); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	newer := known(recordWithoutInstall())
	if newer["last"] == nil || newer["stats"].(map[string]any)["progress"] == nil {
		t.Errorf("the record has the keys %v", newer)
	}
	delete(newer, "last")
	delete(newer["stats"].(map[string]any), "progress")
	if older := known(recordWithoutLast()); !reflect.DeepEqual(newer, older) {
		t.Errorf("an older otad reads\n%v, and wrote\n%v", newer, older)
	}
}

func TestNewerRecordWithLess(t *testing.T) {
	ready := frozenRecord()
	ready.Job.URL = ""
	for name, tt := range map[string]struct {
		body string
		want journal.Record
	}{
		"nothing":      {`{}`, journal.Record{}},
		"no job":       {`{"state":"Idle","generation":7,"rollout":1}`, journal.Record{State: "Idle", Generation: 7}},
		"no URL":       {strings.Replace(frozenBody, `"url"`, `"link"`, 1), ready},
		"a long error": {`{"error":"` + strings.Repeat("e", 600) + `"}`, journal.Record{Error: strings.Repeat("e", journal.MaxText)}},
	} {
		got, err := journal.DecodeRecord(journal.StoredAs(2, []byte(tt.body)))
		if err != nil || !sameJSON(t, got, tt.want) {
			t.Errorf("%s: read %v\n%+v, want\n%+v", name, err, got, tt.want)
		}
	}
}

// TestNewerCheckpointThatIsDamagedIsLeftOut leaves the older one.
func TestNewerCheckpointThatIsDamagedIsLeftOut(t *testing.T) {
	negative := newestCheckpoint()
	negative.Offset = -1
	flipped := storedCheckpoint(newestCheckpoint(), "")
	flipped[20] ^= 1
	for name, raw := range map[string][]byte{
		"a bit flipped": flipped, "too short": journal.StoredAs(2, make([]byte, 35)), "a negative offset": storedCheckpoint(negative, ""),
	} {
		t.Run(name, func(t *testing.T) {
			j := mustOpen(t, replaceStored(t, nil, raw))
			if got := j.Recovery().Result; got != journal.Clean {
				t.Errorf("recovery %s", got)
			}
			wantOffsets(t, j, 5)
		})
	}
}

// TestVersionByteIsCovered changes the version of a value to every other one:
// none may be read as a value of that version.
func TestVersionByteIsCovered(t *testing.T) {
	for from := 1; from <= 255; from++ {
		raw := journal.StoredAs(byte(from), []byte("{}"))
		if _, err := journal.DecodeRecord(raw); err != nil {
			t.Errorf("version %d: %v", from, err)
		}
		for to := range 256 {
			if raw[0] = byte(to); to == from {
				continue
			}
			if _, err := journal.DecodeRecord(raw); err == nil {
				t.Errorf("version %d was read as %d", from, to)
			}
		}
	}
}

// TestOldJournalsOpen opens the whole file that a build before RecordVersion
// was exported has written.
func TestOldJournalsOpen(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "journal-v1.db"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overwrite(t, dir, file)
	j := mustOpen(t, dir)
	if got := j.Recovery(); got != (journal.Recovery{Result: journal.Clean}) {
		t.Errorf("recovery %+v", got)
	}
	if got := j.Record(); !sameJSON(t, got, recordWithoutCode()) {
		t.Errorf("record %+v", got)
	}
	wantOffsets(t, j, 3<<20, 2<<20, 1<<20)
	reopened(t, dir, j, j.Record(), j.Checkpoints())
}

// FuzzNewerRecord checks that no body of a newer version is a crash, and that
// this build can store whatever it reads of one.
func FuzzNewerRecord(f *testing.F) {
	for _, body := range []string{"{}", frozenBody, `{"outbox":[{}]}`, `{"job":{"name":"u.zip"}}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := journal.DecodeRecord(journal.StoredAs(2, body)); err == nil {
			recordRoundTrip(t, r)
		}
	})
}
