package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"otad/journal"
)

// fullRecord returns a record with every field set.
func fullRecord() journal.Record {
	return journal.Record{
		State:      "Failed",
		Job:        jobWithOutput(signedJob()),
		Generation: 7,
		Validator:  journal.Validator{ETag: `"abc-40"`, LastModified: "Mon, 23 Nov 2026 16:58:00 GMT", Total: 104857600, Absent: true},
		Error:      "DOWNLOAD_FAILED: HTTP 404 <Not Found> & more",
		Code:       "DOWNLOAD_FAILED",
		Reason:     "HTTP_404",
		Stats: journal.Stats{Seconds: 86400, Received: 209715200, Discarded: 1048576, Resumes: 12, Retries: 34,
			Progress: journal.Progress{Unix: 1795550000, Uptime: 86401, Boot: "0f5a9c31"}},
		Tries:         5,
		TryStep:       4,
		TryOffset:     57671680,
		Mixed:         true,
		Mismatched:    6,
		Changed:       1,
		Unsatisfiable: 2,
		Restarts:      3,
		RestartsSeq:   41,
		Outbox: []journal.OutboxEntry{
			{Seq: 8, State: "Downloading", Progress: 0, Message: "downloading 1.2.3", Job: journal.EntryJob{Version: "1.2.2", Name: "first.zip", MD5: goodJob().MD5}},
			{Seq: 9, State: "Failed", Progress: 55, Message: "failed", Error: "DOWNLOAD_FAILED: HTTP 404", Code: "DOWNLOAD_FAILED", Reason: "HTTP_404"},
		},
		OutboxSeq:      9,
		PendingDeletes: []string{"old.zip"},
		OwnSuffix:      true,
		Published:      []journal.Published{{Name: "first.zip", Size: 104857600, Inode: 1<<64 - 1, Modified: 1795550000123456789}},
		Staged:         105381888,
		Last:           journal.Last{Result: "failed", Code: "DISK_FULL", Seconds: 4711, Size: 52428800},
		Install:        fullInstall(),
		Signed:         journal.Signed{Key: "3D7F0A91C3E5B721", Version: "1.2.3", Size: 104857600, SHA256: strings.Repeat("5a", 32)},
	}
}

// recordWithoutOutput is fullRecord as it was before a package could go to a device.
func recordWithoutOutput() journal.Record {
	r := fullRecord()
	r.Job.Output = ""
	return r
}

// recordWithoutSigned is fullRecord as it was before signatures were stored.
func recordWithoutSigned() journal.Record {
	r := recordWithoutOutput()
	r.Job.Signature, r.Job.SignatureURL, r.Signed = "", "", journal.Signed{}
	return r
}

// recordWithoutHandOff is fullRecord without both.
func recordWithoutHandOff() journal.Record {
	r := recordWithoutInstall()
	r.Job.Signature, r.Job.SignatureURL, r.Signed = "", "", journal.Signed{}
	return r
}

// recordWithoutLast is fullRecord as it was before the end of the last job and the
// time of the last progress were stored.
func recordWithoutLast() journal.Record {
	r := recordWithoutHandOff()
	r.Last, r.Stats.Progress = journal.Last{}, journal.Progress{}
	return r
}

// recordWithoutStaged is fullRecord as it was before an answer that takes over was
// staged.
func recordWithoutStaged() journal.Record {
	r := recordWithoutLast()
	r.Staged = 0
	return r
}

// recordWithoutPublished is fullRecord as it was before published packages were
// remembered, and the suffix of partial files and the jobs of entries were stored.
func recordWithoutPublished() journal.Record {
	r := recordWithoutStaged()
	r.Published, r.OwnSuffix, r.Outbox[0].Job = nil, false, journal.EntryJob{}
	return r
}

// recordWithoutTries is fullRecord as it was before tries were stored.
func recordWithoutTries() journal.Record {
	r := recordWithoutPublished()
	r.Validator.Absent, r.Stats = false, journal.Stats{}
	r.Tries, r.TryStep, r.TryOffset = 0, 0, 0
	r.Mixed, r.Mismatched = false, 0
	r.Outbox[1].Code, r.Outbox[1].Reason = "", ""
	return r
}

// recordWithoutCode is fullRecord as it was before codes were stored.
func recordWithoutCode() journal.Record {
	r := recordWithoutTries()
	r.Code, r.Reason = "", ""
	return r
}

// TestRecordFormatIsFrozen fails when boards in the field could no longer read
// their journals after an update, or after a return to the version before.
// A file is written once, with the fields that the record then had, and never
// again.
func TestRecordFormatIsFrozen(t *testing.T) {
	for name, record := range map[string]journal.Record{
		"record-v1":           recordWithoutCode(),
		"record-v1-code":      recordWithoutTries(),
		"record-v1-tries":     recordWithoutPublished(),
		"record-v1-published": recordWithoutStaged(),
		"record-v1-staged":    recordWithoutLast(),
		"record-v1-last":      recordWithoutHandOff(),
		"record-v1-install":   recordWithoutSigned(),
		"record-v1-signed":    recordWithoutInstall(),
		"record-v1-output":    outputRecord(),
	} {
		t.Run(name, func(t *testing.T) {
			frozen := golden(t, name)
			got, err := journal.DecodeRecord(frozen)
			if err != nil || !reflect.DeepEqual(got, record) {
				t.Errorf("reads %v\n%+v, want\n%+v", err, got, record)
			}
			if _, raw, err := journal.EncodeRecord(record); err != nil || !bytes.Equal(raw, frozen) {
				t.Errorf("writes %v\n%q, was\n%q", err, raw, frozen)
			}
		})
	}
}

// An otad that was built before signatures were stored ignores their keys. The
// rest of the record has to be all that it needs, a digest of the job included.
func TestOlderOtadUsesARecordWithASignature(t *testing.T) {
	_, raw, err := journal.EncodeRecord(fullRecord())
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw[bytes.IndexByte(raw, '{'):]))
	dec.UseNumber()
	if err := dec.Decode(&keys); err != nil {
		t.Fatal(err)
	}
	job := keys["job"].(map[string]any)
	delete(keys, "signed")
	delete(job, "output")
	delete(job, "signature")
	delete(job, "signature_url")
	rest, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	got, err := journal.DecodeRecord(journal.Stored(rest))
	if want := recordWithoutSigned(); err != nil || got.Job != want.Job || got.State != want.State || got.Signed != (journal.Signed{}) {
		t.Errorf("%v\n%+v, want\n%+v", err, got, want)
	}
	if err := got.Job.Validate(); err != nil {
		t.Error(err)
	}
}

// What somebody else has written into the record is no signature's word.
func TestForgedSignedIsDropped(t *testing.T) {
	for name, change := range map[string]func(*journal.Signed){
		"no key":            func(s *journal.Signed) { s.Key = "" },
		"another key":       func(s *journal.Signed) { s.Key = "../../../etc/xxx" },
		"a negative size":   func(s *journal.Signed) { s.Size = -1 },
		"a short digest":    func(s *journal.Signed) { s.SHA256 = "5a" },
		"no version":        func(s *journal.Signed) { s.Version = "" },
		"a strange version": func(s *journal.Signed) { s.Version = "1.2.x" },
	} {
		r := fullRecord()
		change(&r.Signed)
		if got, _, err := journal.EncodeRecord(r); err != nil || got.Signed != (journal.Signed{}) {
			t.Errorf("%s: %+v %v", name, got.Signed, err)
		}
	}
}

func TestFullRecordHasEveryField(t *testing.T) {
	var zero func(path string, v reflect.Value)
	zero = func(path string, v reflect.Value) {
		if v.Kind() == reflect.Struct {
			for i := range v.NumField() {
				zero(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		} else if v.IsZero() {
			t.Errorf("%s is not set", path)
		}
	}
	zero("Record", reflect.ValueOf(fullRecord()))
}

func TestRecordIsCutToWhatIsKept(t *testing.T) {
	long := strings.Repeat("é", 400) // 800 bytes
	tests := []struct {
		name   string
		change func(*journal.Record)
		check  func(journal.Record) bool
	}{
		{"an error within bounds stays", func(r *journal.Record) { r.Error = strings.Repeat("e", 512) },
			func(r journal.Record) bool { return len(r.Error) == 512 }},
		{"a long error is cut", func(r *journal.Record) { r.Error = strings.Repeat("e", 513) },
			func(r journal.Record) bool { return len(r.Error) == 512 }},
		{"a letter is not cut in two", func(r *journal.Record) { r.Error = "x" + long },
			func(r journal.Record) bool { return utf8.ValidString(r.Error) && len(r.Error) == 511 }},
		{"bytes that are not UTF-8 are replaced", func(r *journal.Record) { r.Error = "a\xffb" },
			func(r journal.Record) bool { return r.Error == "a\uFFFDb" }},
		{"the texts of an entry are cut", func(r *journal.Record) { r.Outbox = []journal.OutboxEntry{{Message: long, Error: long}} },
			func(r journal.Record) bool { return len(r.Outbox[0].Message) == 384 && len(r.Outbox[0].Error) == 384 }},
		{"the newest entries stay", func(r *journal.Record) { r.Outbox = outbox(17, "short") },
			func(r journal.Record) bool { return len(r.Outbox) == 16 && r.Outbox[15].Seq == 17 }},
		{"16 entries with the longest errors and the longest URL fit", func(r *journal.Record) {
			*r = worstCase(16, 0)
		}, func(r journal.Record) bool { return len(r.Outbox) == 16 && len(r.Outbox[0].Error) == 384 }},
		{"what does not fit goes, oldest first", func(r *journal.Record) { r.Outbox = outbox(16, strings.Repeat("\x01", 512)) },
			func(r journal.Record) bool {
				n := len(r.Outbox)
				return n > 0 && n < 16 && r.Outbox[n-1].Seq == 16 && len(r.Outbox[0].Error) == 384
			}},
		{"the longest signature takes the room of entries", func(r *journal.Record) {
			*r = worstCase(16, 0)
			r.Job.Signature, r.Signed = strings.Repeat("\t", 64)+strings.Repeat("s", journal.MaxSignature-64), fullRecord().Signed
		}, func(r journal.Record) bool {
			return len(r.Outbox) >= 8 && r.Outbox[len(r.Outbox)-1].Seq == 16 && len(r.Job.Signature) == journal.MaxSignature
		}},
		{"the newest packages are remembered", func(r *journal.Record) { r.Published = published(65) },
			func(r journal.Record) bool { return len(r.Published) == 64 && r.Published[63].Size == 65 }},
		{"packages go before entries", func(r *journal.Record) { *r = worstCase(16, 0); r.Published = published(64) },
			func(r journal.Record) bool { return len(r.Published) < 40 && len(r.Outbox) == 16 }},
		{"as many packages as fit are remembered", func(r *journal.Record) { *r = worstCase(12, 0); r.Published = published(64) },
			func(r journal.Record) bool {
				n := len(r.Published)
				return len(r.Outbox) == 12 && n > 10 && n < 64 && r.Published[n-1].Size == 64
			}},
		{"a name that leads elsewhere is not deleted", func(r *journal.Record) {
			r.PendingDeletes = []string{"../a", "", "/etc/passwd", "ok.zip", "a/b", "journal.db", "."}
			r.Published = []journal.Published{{Name: "../a"}, {}, {Name: "ok.zip"}, {Name: "x.part"}}
		}, func(r journal.Record) bool {
			return slices.Equal(r.PendingDeletes, []string{"ok.zip"}) && slices.Equal(r.Published, []journal.Published{{Name: "ok.zip"}})
		}},
		{"counts are not below zero", func(r *journal.Record) { r.Tries, r.TryStep, r.TryOffset, r.Restarts = -1, -1, -1, math.MinInt },
			func(r journal.Record) bool {
				return r.Tries == 0 && r.TryStep == 0 && r.TryOffset == 0 && r.Restarts == 0
			}},
		{"an end and a boot that nobody wrote are left out", func(r *journal.Record) {
			r.Last.Result, r.Stats.Progress.Boot = strings.Repeat("r", 65), strings.Repeat("b", 65)
		}, func(r journal.Record) bool { return r.Last == journal.Last{} && r.Stats.Progress == journal.Progress{} }},
		{"times and sizes are not below zero", func(r *journal.Record) {
			r.Last.Seconds, r.Last.Size, r.Stats.Progress.Uptime = -1, -1, -1
		}, func(r journal.Record) bool {
			return r.Last.Seconds == 0 && r.Last.Size == 0 && r.Stats.Progress.Uptime == 0
		}},
		{"a long ETag is left out", func(r *journal.Record) { r.Validator.ETag = strings.Repeat("e", 513) },
			func(r journal.Record) bool { return r.Validator.ETag == "" && r.Validator.Total != 0 }},
		{"an ETag that JSON would change is left out", func(r *journal.Record) { r.Validator.ETag = "\"\xe4\"" },
			func(r journal.Record) bool { return r.Validator.ETag == "" }},
		{"a long Last-Modified is left out", func(r *journal.Record) { r.Validator.LastModified = strings.Repeat("e", 513) },
			func(r journal.Record) bool { return r.Validator.LastModified == "" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := fullRecord()
			tt.change(&in)
			kept, raw, err := journal.EncodeRecord(in)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(kept) {
				t.Errorf("kept %+v", kept)
			}
			if len(raw) > journal.MaxRecord {
				t.Errorf("stored as %d bytes, at most %d fit", len(raw), journal.MaxRecord)
			}
			if got, err := journal.DecodeRecord(raw); err != nil || !sameJSON(t, got, kept) {
				t.Errorf("read back %v\n%+v, want\n%+v", err, got, kept)
			}
		})
	}
}

func TestRecordTooLargeEvenWithoutOutbox(t *testing.T) {
	r := fullRecord()
	r.Job.URL = strings.Repeat("\x01", journal.MaxURL) // six bytes each in JSON
	if _, _, err := journal.EncodeRecord(r); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("error %v, want ErrTooLarge", err)
	}
}

func TestRecordRefuses(t *testing.T) {
	_, good, _ := journal.EncodeRecord(fullRecord())
	later := bytes.Clone(good)
	later[0]++
	for name, raw := range map[string][]byte{
		"nothing":            nil,
		"half a header":      good[:4],
		"a later version":    later,
		"a cut one":          good[:len(good)-1],
		"no JSON":            journal.Stored([]byte("otad")),
		"two objects":        journal.Stored([]byte("{}{}")),
		"another type":       journal.Stored([]byte(`{"outbox":1}`)),
		"a number too large": journal.Stored([]byte(`{"generation":18446744073709551616}`)),
	} {
		if _, err := journal.DecodeRecord(raw); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// FuzzRecord checks that decoding never panics, that a decoded record is
// encoded and decoded to the same record, with names of files in the state
// directory only, and that every flipped bit is found.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("{}"), uint(0))
	f.Fuzz(func(t *testing.T, body []byte, bit uint) {
		_, _ = journal.DecodeRecord(body)
		stored := journal.Stored(body)
		if r, err := journal.DecodeRecord(stored); err == nil {
			recordRoundTrip(t, r)
			namesStay(t, r)
		}
		bit %= uint(8 * len(stored))
		stored[bit/8] ^= 1 << (bit % 8)
		if r, err := journal.DecodeRecord(stored); err == nil {
			t.Errorf("bit %d flipped and read as %+v", bit, r)
		}
	})
}

// namesStay checks that every name of the record is one in the state directory.
func namesStay(t *testing.T, r journal.Record) {
	names := slices.Clone(r.PendingDeletes)
	for _, p := range r.Published {
		names = append(names, p.Name)
	}
	if r.Job != (journal.Job{}) {
		names = append(names, r.Job.Name)
	}
	for _, name := range names {
		if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, "journal.") {
			t.Errorf("the name %q", name)
		}
	}
}

func recordRoundTrip(t *testing.T, r journal.Record) {
	kept, raw, err := journal.EncodeRecord(r)
	if errors.Is(err, journal.ErrTooLarge) {
		return
	}
	if err != nil || len(raw) > journal.MaxRecord {
		t.Fatalf("encoded to %d bytes, %v", len(raw), err)
	}
	again, err := journal.DecodeRecord(raw)
	if err != nil || !sameJSON(t, again, kept) {
		t.Errorf("read back %v\n%+v, want\n%+v", err, again, kept)
	}
}

// TestFuzzSeedsExist fails when a corpus is lost.
func TestFuzzSeedsExist(t *testing.T) {
	for _, target := range []string{"FuzzRecord", "FuzzCheckpoint"} {
		if seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*")); err != nil || len(seeds) < 3 {
			t.Errorf("%d seeds of %s, %v", len(seeds), target, err)
		}
	}
}

// The code and reason of a failure that are the longest together.
const longestCode, longestReason = "DOWNLOAD_FAILED", "RANGE_NOT_SATISFIABLE"

// worstCase returns the largest record with n outbox entries. Its texts differ
// by salt.
func worstCase(n int, salt byte) journal.Record {
	r := recordWithoutSigned()
	r.Job.URL = strings.Repeat(string('a'+rune(salt%26)), journal.MaxURL)
	r.Job.Name = strings.Repeat("n", journal.MaxName)
	r.Job.Output = "/" + strings.Repeat("o", journal.MaxOutput-1)
	r.Error, r.Code, r.Reason = strings.Repeat("e", journal.MaxText), longestCode, longestReason
	r.Stats = journal.Stats{Seconds: math.MaxInt64, Received: math.MaxInt64, Discarded: math.MaxInt64, Resumes: math.MaxInt64, Retries: math.MaxInt64}
	r.Tries, r.TryStep, r.TryOffset = math.MaxInt, math.MaxInt, math.MaxInt64
	r.Outbox = outbox(n, strings.Repeat(string('A'+rune(salt%26)), journal.MaxText))
	r.Stats.Progress = journal.Progress{Unix: math.MaxInt64, Uptime: math.MaxInt64, Boot: strings.Repeat("b", 64)}
	r.Last = journal.Last{Result: strings.Repeat("r", 64), Code: strings.Repeat("c", 64), Seconds: math.MaxInt64, Size: math.MaxInt64}
	r.Published, r.Install = nil, journal.Install{} // only a package that is Ready has one, and no URL
	return r
}

func published(n int) []journal.Published {
	list := make([]journal.Published, n)
	for i := range list {
		list[i] = journal.Published{Name: strings.Repeat("p", journal.MaxName), Size: int64(i + 1), Inode: math.MaxUint64, Modified: math.MaxInt64}
	}
	return list
}

func outbox(n int, text string) []journal.OutboxEntry {
	list := make([]journal.OutboxEntry, n)
	for i := range list {
		list[i] = journal.OutboxEntry{Seq: uint64(i + 1), State: "Downloading", Progress: 100, Message: "downloading", Error: text,
			Code: longestCode, Reason: longestReason}
	}
	return list
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameJSON compares the JSON forms, in which an empty list equals none.
func sameJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}
