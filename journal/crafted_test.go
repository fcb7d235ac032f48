package journal_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"otad/journal"
)

const craftedJob = `{"name":"u.zip","url":"https://example.com/u.zip","size":1000,"md5":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"}`

// TestCraftedRecord opens journals whose pages and checksums are right, and whose
// record no otad has written. What cannot be is set aside, or left out where that
// costs nothing but itself.
func TestCraftedRecord(t *testing.T) {
	with := func(old, new string) string {
		if !strings.Contains(craftedJob, old) {
			t.Fatal(old)
		}
		return `{"state":"Ready","job":` + strings.Replace(craftedJob, old, new, 1) + `}`
	}
	long := strings.Repeat("x", 600)
	for _, tt := range []struct {
		name, body string
		aside      bool
		check      func(journal.Record) bool // nil: anything is well
	}{
		{"as otad writes it", with("", ""), false, nil},
		{"no digest", with(`"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"`, `""`), true, nil},
		{"a digest that is none", with("0f0f", "../."), true, nil},
		{"no name", with("u.zip", ""), true, nil},
		{"a name that leads up", with("u.zip", ".."), true, nil},
		{"a name with a slash", with("u.zip", "a/../../etc/passwd"), true, nil},
		{"an absolute name", with("u.zip", "/etc/passwd"), true, nil},
		{"a hidden name", with("u.zip", ".ssh"), true, nil},
		{"the journal's name", with("u.zip", "journal.db"), true, nil},
		{"a partial file's name", with("u.zip", "u.part"), true, nil},
		{"a name with a null", with("u.zip", `u\u0000.zip`), true, nil},
		{"a name with a line", with("u.zip", `u\n.zip`), true, nil},
		{"a long name", with("u.zip", long), true, nil},
		{"a negative size", with("1000", "-1"), true, nil},
		{"the largest size", with("1000", fmt.Sprint(math.MaxInt64)), false, nil},
		{"a size too large", with("1000", "9223372036854775808"), true, nil},
		{"a version that is none", with(`"size"`, `"version":"; reboot","size"`), true, nil},
		{"a long URL", with("example.com", strings.Repeat("e", journal.MaxURL)), true, nil},
		{"a state that no otad has", `{"state":"Installing","job":` + craftedJob + `}`, false,
			func(r journal.Record) bool { return r.State == "Installing" }},
		{"a state without a job", `{"state":"Verifying"}`, false, nil},
		{"files to delete elsewhere", `{"garbage":["../a","/etc/passwd","journal.db","","ok.zip"]}`, false,
			func(r journal.Record) bool { return fmt.Sprint(r.PendingDeletes) == "[ok.zip]" }},
		{"packages elsewhere", `{"published":[{"name":"../a"},{"name":"/etc/passwd"},{"name":"ok.zip"}]}`, false,
			func(r journal.Record) bool { return len(r.Published) == 1 && r.Published[0].Name == "ok.zip" }},
		{"entries of jobs that cannot be", `{"outbox":[{"seq":1,"job":{"name":"../a"}},{"seq":2,"job":{"name":"a","version":"1\r\n2"}},{"seq":3,"job":{"name":"a","md5":"-"}},{"seq":4,"job":{"name":"a"}}]}`, false,
			func(r journal.Record) bool {
				none := journal.EntryJob{}
				return len(r.Outbox) == 4 && r.Outbox[0].Job == none && r.Outbox[1].Job == none && r.Outbox[2].Job == none && r.Outbox[3].Job.Name == "a"
			}},
		{"too many entries", `{"outbox":[` + strings.Repeat(`{"seq":1},`, 99) + `{"seq":2,"error":"` + long + `"}]}`, false,
			func(r journal.Record) bool { return len(r.Outbox) == 16 && len(r.Outbox[15].Error) == 384 }},
		{"numbers below zero", `{"tries":-1,"try_step":-9223372036854775808,"try_offset":-1,"take_ups":-5,"validator":{"total":-1}}`, false,
			func(r journal.Record) bool {
				return r.Tries == 0 && r.TryStep == 0 && r.TryOffset == 0 && r.Restarts == 0 && r.Validator.Total == 0
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for version := range byte(2) {
				stored := journal.StoredAs(1+version, []byte(tt.body))
				if len(stored) > journal.MaxRecord {
					t.Fatalf("%d bytes", len(stored))
				}
				dir := replaceStored(t, stored, nil)
				j := mustOpen(t, dir)
				want := map[bool]journal.Result{true: journal.SetAside, false: []journal.Result{journal.Clean, journal.Newer}[version]}[tt.aside]
				if got := j.Recovery(); got.Result != want {
					t.Errorf("version %d: %+v, want %s", 1+version, got, want)
				}
				if r := j.Record(); tt.check != nil && !tt.check(r) {
					t.Errorf("version %d reads %+v", 1+version, r)
				}
				r := mustUpdate(t, j, func(r *journal.Record) { r.Restarts = 1 })
				reopened(t, dir, j, r, j.Checkpoints()).Close()
			}
		})
	}
}

// Checkpoints that the record's job cannot have are left out.
func TestCraftedCheckpoint(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir)
	job := goodJob()
	job.Size = 1000
	record := mustUpdate(t, j, func(r *journal.Record) { *r = journal.Record{State: "Downloading", Job: job, Generation: 1} })
	slots := map[int][]byte{}
	for _, cp := range []journal.Checkpoint{
		{Seq: 3, Generation: 1, Offset: 1001},
		{Seq: math.MaxUint64 - 2, Generation: 1, Offset: 10}, // slot 1
		{Seq: 2, Generation: 1, Offset: 1000, Tail: 1000},
	} {
		slots[int(cp.Seq%3)] = journal.EncodeCheckpoint(cp)
	}
	if len(slots) != 3 {
		t.Fatal(slots)
	}
	if err := j.ReplaceStored(nil, slots); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = mustOpen(t, dir)
	wantOffsets(t, j, 1000)
	if err := j.Rewind(checkpointAt(7)); err != nil {
		t.Error(err)
	}
	reopened(t, dir, j, record, j.Checkpoints())
}
