package fsm_test

import (
	"slices"
	"testing"

	"otad/fsm"
	"otad/journal"
)

func TestErrorsOfARecordKeepTheirCodeReasonAndText(t *testing.T) {
	for _, tt := range []struct {
		record journal.Record
		code   fsm.Code
		reason fsm.Reason
		detail string
	}{
		{journal.Record{Error: "MD5_MISMATCH: expected a: b, got c", Code: "MD5_MISMATCH"}, fsm.MD5Mismatch, "", "expected a: b, got c"},
		{journal.Record{Error: "DOWNLOAD_FAILED: URL_EXPIRED the URL has expired", Code: "DOWNLOAD_FAILED", Reason: "URL_EXPIRED"},
			fsm.DownloadFailed, fsm.URLExpired, "the URL has expired"},
		{journal.Record{Error: "DOWNLOAD_FAILED: CRASH_LOOP: otad ended", Code: "DOWNLOAD_FAILED", Reason: "CRASH_LOOP"},
			fsm.DownloadFailed, fsm.CrashLoop, "otad ended"},
		{journal.Record{Error: "DOWNLOAD_FAILED: HTTP 404 Not Found", Code: "DOWNLOAD_FAILED", Reason: "REFUSED"},
			fsm.DownloadFailed, fsm.Refused, "HTTP 404 Not Found"},
		{journal.Record{Error: "DOWNLOAD_FAILED: written before codes were recorded"}, "", "", "DOWNLOAD_FAILED: written before codes were recorded"},
	} {
		tt.record.State = string(fsm.Failed)
		s := fsm.SnapshotOf(tt.record, nil)
		e, ok := s.Err().(*fsm.Error)
		if !ok {
			t.Errorf("%+v: no error but %v", tt.record, s.Err())
			continue
		}
		if e.Code != tt.code || e.Reason != tt.reason || e.Detail != tt.detail {
			t.Errorf("%+v: read as %+v", tt.record, e)
		}
		if e.Error() != tt.record.Error || s.Error != tt.record.Error || s.Code != tt.code || s.Reason != tt.reason {
			t.Errorf("%+v: shown as %q, %+v", tt.record, e.Error(), s)
		}
	}
	if err := fsm.SnapshotOf(journal.Record{State: string(fsm.Ready)}, nil).Err(); err != nil {
		t.Errorf("a job that has not failed has the error %v", err)
	}
}

// TestFailuresListsEveryPairOnce holds the label values of the metric of
// failures: each code has a pair, and a pair without a reason has NONE.
func TestFailuresListsEveryPairOnce(t *testing.T) {
	pairs := fsm.Failures()
	for _, want := range [][2]string{
		{"DOWNLOAD_FAILED", "OBJECT_CHANGED"}, {"DOWNLOAD_FAILED", "RANGE_NOT_SATISFIABLE"}, {"DOWNLOAD_FAILED", "URL_EXPIRED"},
		{"DOWNLOAD_FAILED", "STORAGE"}, {"DOWNLOAD_FAILED", "CRASH_LOOP"}, {"DOWNLOAD_FAILED", "REFUSED"},
		{"DOWNLOAD_FAILED", "UNUSABLE"},
		{"DOWNLOAD_FAILED", "RETRIES_SPENT"}, {"DOWNLOAD_FAILED", "BOARD_ERROR"}, {"DOWNLOAD_FAILED", "PACKAGE_DAMAGED"},
		{"SIGNATURE_INVALID", "MISSING"}, {"SIGNATURE_INVALID", "MALFORMED"}, {"SIGNATURE_INVALID", "LEGACY"},
		{"SIGNATURE_INVALID", "UNKNOWN_KEY"}, {"SIGNATURE_INVALID", "INVALID"}, {"SIGNATURE_INVALID", "CLAIM_TWICE"},
		{"SIGNATURE_INVALID", "CLAIM_MISSING"}, {"SIGNATURE_INVALID", "CLAIM_BAD"}, {"SIGNATURE_INVALID", "CLAIM_MISMATCH"},
		{"SIGNATURE_INVALID", "TOO_OLD"},
		{"MD5_MISMATCH", "NONE"}, {"SHA256_MISMATCH", "NONE"}, {"PACKAGE_SIZE_MISMATCH", "NONE"}, {"DISK_FULL", "NONE"},
	} {
		i := slices.Index(pairs, want)
		if i < 0 {
			t.Errorf("%v is missing", want)
			continue
		}
		pairs = slices.Delete(pairs, i, i+1)
	}
	if len(pairs) > 0 {
		t.Errorf("nobody expects %v", pairs)
	}
}
