package metrics

import (
	"slices"
	"strconv"
)

// The label values that otad itself defines. They are closed sets: each value
// has its series from the start, so that increase() sees the first event, and a
// value outside its set is counted as "other" and can never grow the set.

// Cause says why a download went on from an offset above 0.
type Cause string

// The causes of ota_download_resumes_total.
const (
	CauseRestart Cause = "restart" // otad was started again: power loss, crash, reboot, update
	CauseNetwork Cause = "network" // a transient failure of the network or the origin
	CauseNewURL  Cause = "new_url" // the same job came with a freshly signed URL
)

// RestartReason says why a download began again at offset 0.
type RestartReason string

// The reasons of ota_download_restarts_total.
const (
	RestartChanged        RestartReason = "changed"         // the object at the origin is another one now
	RestartRangeIgnored   RestartReason = "range_ignored"   // the origin answered 200 to a range request
	RestartUnsatisfiable  RestartReason = "unsatisfiable"   // the origin answered 416
	RestartMixed          RestartReason = "mixed"           // bytes of several answers did not match the digest
	RestartDigestState    RestartReason = "digest_state"    // the digest could not be taken up again
	RestartCheckpointLost RestartReason = "checkpoint_lost" // no checkpoint matches the partial file
)

// Result says how a download ended.
type Result string

// The results of ota_downloads_total.
const (
	Succeeded Result = "succeeded" // published under its final name
	Failed    Result = "failed"    // the machine went to its failed state
	Cancelled Result = "cancelled" // reset, or replaced by another job
)

// VerificationResult says what comparing the digests gave.
type VerificationResult string

// The results of ota_verifications_total.
const (
	VerificationMatch    VerificationResult = "match"
	VerificationMismatch VerificationResult = "mismatch"
	VerificationError    VerificationResult = "error" // the file could not be read or published
)

// Recovery says how the journal was found when it was opened.
type Recovery string

// The results of ota_journal_recoveries_total.
const (
	RecoveryClean    Recovery = "clean"     // readable, used as it is
	RecoveryCreated  Recovery = "created"   // there was none
	RecoverySetAside Recovery = "set_aside" // damaged: moved aside, started clean
)

// CallbackResult says what became of one message to the callback URL.
type CallbackResult string

// The results of ota_callbacks_total.
const (
	CallbackDelivered CallbackResult = "delivered" // answered with a 2xx
	CallbackRejected  CallbackResult = "rejected"  // answered with anything else
	CallbackFailed    CallbackResult = "failed"    // not answered
	CallbackDropped   CallbackResult = "dropped"   // given up: superseded or the queue was full
)

// other is the one label value that stands for all values outside a closed set.
// Its series appears only when it is needed, which is a bug to report.
const other = "other"

func causes() []Cause { return []Cause{CauseRestart, CauseNetwork, CauseNewURL} }

func restartReasons() []RestartReason {
	return []RestartReason{RestartChanged, RestartRangeIgnored, RestartUnsatisfiable, RestartMixed, RestartDigestState, RestartCheckpointLost}
}

func results() []Result { return []Result{Succeeded, Failed, Cancelled} }

func verificationResults() []VerificationResult {
	return []VerificationResult{VerificationMatch, VerificationMismatch, VerificationError}
}

func recoveries() []Recovery { return []Recovery{RecoveryClean, RecoveryCreated, RecoverySetAside} }

func callbackResults() []CallbackResult {
	return []CallbackResult{CallbackDelivered, CallbackRejected, CallbackFailed, CallbackDropped}
}

// codes are the values of the code label: the statuses that an operator looks
// for one by one, a class for each of the others, and none for no answer.
func codes() []string {
	return []string{"200", "206", "403", "404", "412", "416", "429", "500", "503", "2xx", "3xx", "4xx", "5xx", "none"}
}

// codeLabel turns an HTTP status (0: no answer) into one of codes, or "other".
func codeLabel(status int) string {
	exact := strconv.Itoa(status)
	switch {
	case status == 0:
		return "none"
	case slices.Contains(codes(), exact):
		return exact
	case status >= 200 && status <= 599:
		return exact[:1] + "xx"
	}
	return other
}
