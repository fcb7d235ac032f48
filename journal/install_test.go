package journal_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"otad/journal"
)

// fullInstall returns an installation with every field set.
func fullInstall() journal.Install {
	return journal.Install{State: "waiting", Attempt: 4, Boot: "0b6b8a0e-9f54-4b5b-8d7e-1f3f4a1c2d3e", PID: 1234, Started: 567890,
		Reboot: "7c1d2e3f-9f54-4b5b-8d7e-1f3f4a1c2d3e", Exit: 75, Line: "the vehicle moves", Unknown: 2, Cut: 1, Step: 3, Wait: 240,
		Error: "INSTALL_FAILED: exit 1: no such slot", Code: "INSTALL_FAILED",
		Age: 86400, AgedBoot: "0b6b8a0e-9f54-4b5b-8d7e-1f3f4a1c2d3e", Aged: 3600}
}

// recordWithoutInstall is fullRecord as it was before installations were stored.
func recordWithoutInstall() journal.Record {
	r := recordWithoutOutput()
	r.Install = journal.Install{}
	return r
}

func TestInstallIsCutToItsBounds(t *testing.T) {
	long := strings.Repeat("é", 400)
	in := fullRecord()
	in.Install = journal.Install{State: long, Boot: long, Reboot: long, AgedBoot: long, Line: long, Error: long, Code: long,
		Attempt: -1, PID: -1, Unknown: -1, Cut: -1, Step: -1, Wait: -1, Age: -1, Aged: -1}
	kept, _, err := journal.EncodeRecord(in)
	if err != nil {
		t.Fatal(err)
	}
	got := kept.Install
	for _, text := range []string{got.State, got.Boot, got.Reboot, got.AgedBoot, got.Line, got.Error, got.Code} {
		if len(text) > journal.MaxText {
			t.Errorf("a text of %d bytes is kept", len(text))
		}
	}
	if got.Attempt|got.PID|got.Unknown|got.Cut|got.Step != 0 || got.Wait|got.Age|got.Aged != 0 {
		t.Errorf("a number below zero is kept: %+v", got)
	}
}

// A package that is Ready has no URL any more, which is the longest of a record.
func TestInstallAtItsBoundsFits(t *testing.T) {
	r := worstCase(16, 0)
	r.Job.URL = ""
	text := strings.Repeat("i", journal.MaxText)
	r.Install = journal.Install{State: "rebooting", Boot: text[:36], Reboot: text[:36], AgedBoot: text[:36], Line: text, Error: text, Code: "INSTALL_FAILED",
		Attempt: math.MaxInt, PID: math.MaxInt, Started: math.MaxUint64, Exit: math.MaxInt, Unknown: math.MaxInt, Cut: math.MaxInt, Step: math.MaxInt,
		Wait: math.MaxInt64, Age: math.MaxInt64, Aged: math.MaxInt64}
	kept, raw, err := journal.EncodeRecord(r)
	if err != nil || len(raw) > journal.MaxRecord || len(kept.Outbox) != 16 {
		t.Errorf("stored as %d bytes with %d entries: %v", len(raw), len(kept.Outbox), err)
	}
}

// An otad before this key was there ignores it, as encoding/json does, and drops
// it with its next update: it reads the same job, and nothing else is lost.
func TestOlderOtadIsNotHarmedByAnInstallation(t *testing.T) {
	raw, err := os.ReadFile("testdata/record-v1-install")
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw[bytes.Index(raw, []byte(`{"state"`)):], &keys); err != nil {
		t.Fatal(err)
	}
	delete(keys, "install")
	older, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	got, err := journal.DecodeRecord(journal.StoredAs(1, older))
	if err != nil || !sameJSON(t, got, recordWithoutHandOff()) {
		t.Errorf("read %v\n%+v", err, got)
	}
}
