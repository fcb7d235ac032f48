package metrics

import "time"

// SetState tells which state the machine is in.
func (m *Metrics) SetState(name string) { m.state.set(name) }

// Transition counts one transition of the machine.
func (m *Metrics) Transition(from, to string) { m.transitions.inc(from, to) }

// SetSize tells the size of the package in bytes, 0 when it is not known or
// there is no package. The series stays present at 0: no package is empty, so
// the 0 is never mistaken for a size.
func (m *Metrics) SetSize(bytes int64) { m.size.Set(float64(bytes)) }

// SetDurable tells how many bytes of the package the journal vouches for.
func (m *Metrics) SetDurable(bytes int64) { m.durable.Set(float64(bytes)) }

// Received counts n bytes of package data that came from the network,
// including those that are discarded afterwards. Negative n is ignored.
func (m *Metrics) Received(n int64) { m.received.Add(atLeastZero(n)) }

// Discarded counts n received bytes that are not kept. Negative n is ignored.
func (m *Metrics) Discarded(n int64) { m.discarded.Add(atLeastZero(n)) }

// Request counts one request to the origin by the status of its answer; 0 means
// that there was no answer. Statuses that no operator looks for one by one are
// counted by class, such as "4xx".
func (m *Metrics) Request(code int) { m.requests.inc(codeLabel(code)) }

// Retry counts one request that is tried again for the given reason, which is
// one of [Labels].RetryReasons.
func (m *Metrics) Retry(reason string) { m.retries.inc(reason) }

// Resume counts a download that goes on from an offset above 0.
func (m *Metrics) Resume(c Cause) { m.resumes.inc(c) }

// Restart counts a download that had bytes and begins again at offset 0.
func (m *Metrics) Restart(r RestartReason) { m.restarts.inc(r) }

// NetworkWaiting tells whether a download waits for the board to get a network.
func (m *Metrics) NetworkWaiting(waiting bool) { m.waiting.Set(oneIf(waiting)) }

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Finished counts one download that ended.
func (m *Metrics) Finished(r Result) { m.finished.inc(r) }

// DownloadSeconds records how long a download took in this process, waits
// included. What an earlier process spent on it is not known.
func (m *Metrics) DownloadSeconds(d time.Duration) { m.duration.Observe(d.Seconds()) }

// Held sets whether the hold file keeps a download from making requests.
func (m *Metrics) Held(held bool) { m.held.Set(oneIf(held)) }

// NextTry sets the source of ota_download_next_try_seconds. It is called at each
// scrape and must be safe for concurrent use; NaN: no try is due.
func (m *Metrics) NextTry(seconds func() float64) { m.nextTry.source.Store(&seconds) }

// JobFailed counts one job that failed, by the code and the reason of its error:
// one of [Labels].Failures.
func (m *Metrics) JobFailed(code, reason string) { m.failures.inc(code, reason) }

// Verification counts one comparison of a complete package with its digest.
func (m *Metrics) Verification(r VerificationResult) { m.verifications.inc(r) }

// JournalCommit counts one durable journal transaction and records how long it
// took.
func (m *Metrics) JournalCommit(d time.Duration) {
	m.commits.Inc()
	m.commitDuration.Observe(d.Seconds())
}

// DataSync records how long it took to make the package data of one checkpoint
// durable: its writes and their fdatasync.
func (m *Metrics) DataSync(d time.Duration) { m.syncDuration.Observe(d.Seconds()) }

// JournalRecovery counts one opening of the journal by how it was found.
func (m *Metrics) JournalRecovery(r Recovery) { m.recoveries.inc(r) }

// Callback counts one message to the callback URL by what became of it.
func (m *Metrics) Callback(r CallbackResult) { m.callbacks.inc(r) }

// CallbackQueue tells how many transitions wait to be delivered.
func (m *Metrics) CallbackQueue(n int) { m.callbackQueue.Set(float64(n)) }

// StorageFree sets the source of ota_storage_free_bytes. It is called at each
// scrape, from the scrape's goroutine, and gives NaN when it cannot tell.
func (m *Metrics) StorageFree(free func() float64) { m.storage.source.Store(&free) }

// atLeastZero keeps a counter from panicking on a wrong sum.
func atLeastZero(n int64) float64 { return float64(max(n, 0)) }
