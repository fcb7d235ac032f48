package metrics

import (
	"slices"
	"strconv"
)

// The label values that this package defines are closed sets. Each value has
// its series from the start: increase() would not see the first event of a
// series that appears with it. A value outside its set is counted as "other".

// Cause is why a download was resumed at an offset above 0.
type Cause string

// The causes of ota_download_resumes_total.
const (
	CauseRestart Cause = "restart" // otad was restarted: power cut, crash, reboot, update
	CauseNetwork Cause = "network" // a transient failure of the network or the origin
	CauseNewURL  Cause = "new_url" // the same job came with a freshly signed URL
)

// RestartReason is why a download was begun again at offset 0.
type RestartReason string

// The reasons of ota_download_restarts_total.
const (
	RestartChanged        RestartReason = "changed"         // the object at the origin has changed
	RestartRangeIgnored   RestartReason = "range_ignored"   // the origin responded 200 to a range request
	RestartUnsatisfiable  RestartReason = "unsatisfiable"   // the origin responded 416
	RestartMixed          RestartReason = "mixed"           // bytes of several responses did not match the digest
	RestartDigestState    RestartReason = "digest_state"    // the digest could not be restored
	RestartCheckpointLost RestartReason = "checkpoint_lost" // no checkpoint matches the partial file
)

// Result is how a download ended.
type Result string

// The results of ota_downloads_total.
const (
	Succeeded Result = "succeeded" // published under its final name
	Failed    Result = "failed"    // the machine is in its failed state
	Cancelled Result = "cancelled" // reset, or replaced by another job
)

// VerificationResult is the result of comparing the digests.
type VerificationResult string

// The results of ota_verifications_total.
const (
	VerificationMatch    VerificationResult = "match"    // the package is the expected one
	VerificationMismatch VerificationResult = "mismatch" // it is not; its bytes are deleted
	VerificationError    VerificationResult = "error"    // the file could not be read or published
)

// Recovery is how the journal was found when it was opened. The values are
// those of journal.Result.
type Recovery string

// The results of ota_journal_recoveries_total.
const (
	RecoveryClean    Recovery = "clean"     // readable
	RecoveryCreated  Recovery = "created"   // there was none
	RecoveryNewer    Recovery = "newer"     // written by a newer otad, used as far as this one reads it
	RecoveryRebuilt  Recovery = "rebuilt"   // readable, in a file that could not be used: a new one was made of it
	RecoverySetAside Recovery = "set_aside" // damaged: moved aside, a new one was made
)

// CallbackResult is the result of one message to the callback URL.
type CallbackResult string

// The results of ota_callbacks_total.
const (
	CallbackDelivered CallbackResult = "delivered" // the response was a 2xx
	CallbackRejected  CallbackResult = "rejected"  // any other response
	CallbackFailed    CallbackResult = "failed"    // no response
	CallbackDropped   CallbackResult = "dropped"   // not sent: superseded, or the outbox was full
)

// other is the label value for all values outside a closed set. Its series
// appears with the first such value, which is a bug in the caller.
const other = "other"

func causes() []Cause { return []Cause{CauseRestart, CauseNetwork, CauseNewURL} }

func restartReasons() []RestartReason {
	return []RestartReason{RestartChanged, RestartRangeIgnored, RestartUnsatisfiable, RestartMixed, RestartDigestState, RestartCheckpointLost}
}

func results() []Result { return []Result{Succeeded, Failed, Cancelled} }

func verificationResults() []VerificationResult {
	return []VerificationResult{VerificationMatch, VerificationMismatch, VerificationError}
}

func recoveries() []Recovery {
	return []Recovery{RecoveryClean, RecoveryCreated, RecoveryNewer, RecoveryRebuilt, RecoverySetAside}
}

func callbackResults() []CallbackResult {
	return []CallbackResult{CallbackDelivered, CallbackRejected, CallbackFailed, CallbackDropped}
}

// codes returns the values of the code label: the statuses that matter one by
// one, a class for each of the others, and none for no response.
func codes() []string {
	return []string{"200", "206", "403", "404", "412", "416", "429", "500", "503", "2xx", "3xx", "4xx", "5xx", "none"}
}

// codeLabel returns the code label of an HTTP status (0: no response): one of
// codes, or "other".
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
