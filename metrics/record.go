package metrics

import "time"

// SetState sets the state of the machine, one of [Labels].States.
func (m *Metrics) SetState(name string) { m.state.set(name) }

// Transition counts one transition of the machine, one of
// [Labels].Transitions.
func (m *Metrics) Transition(from, to string) { m.transitions.inc(from, to) }

// SetSize sets the size of the package in bytes, 0 when it is not known or
// there is no package. No package is empty, so 0 cannot be mistaken for a size.
func (m *Metrics) SetSize(bytes int64) { m.size.Set(float64(bytes)) }

// SetDurable sets the number of bytes of the package that are durable according
// to the journal.
func (m *Metrics) SetDurable(bytes int64) { m.durable.Set(float64(bytes)) }

// Received counts n bytes of package data from the network, including those
// that are discarded afterwards. A negative n is ignored.
func (m *Metrics) Received(n int64) { m.received.Add(atLeastZero(n)) }

// Discarded counts n received bytes that are not kept. A negative n is ignored.
func (m *Metrics) Discarded(n int64) { m.discarded.Add(atLeastZero(n)) }

// Request counts one request to the origin by the HTTP status of the response;
// 0 means that there was none. Rare statuses are counted by class, such as
// "4xx".
func (m *Metrics) Request(code int) { m.requests.inc(codeLabel(code)) }

// Retry counts one request that is tried again, by one of
// [Labels].RetryReasons.
func (m *Metrics) Retry(reason string) { m.retries.inc(reason) }

// Resume counts one download that is resumed at an offset above 0.
func (m *Metrics) Resume(c Cause) { m.resumes.inc(c) }

// Restart counts one download that had bytes and begins again at offset 0.
func (m *Metrics) Restart(r RestartReason) { m.restarts.inc(r) }

// NetworkWaiting sets whether a download waits until the board has a network.
func (m *Metrics) NetworkWaiting(waiting bool) { m.waiting.Set(oneIf(waiting)) }

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// PackageRemoved counts one package of an earlier job that was deleted to make
// room.
func (m *Metrics) PackageRemoved() { m.packagesRemoved.Inc() }

// Finished counts one download that ended.
func (m *Metrics) Finished(r Result) { m.finished.inc(r) }

// DownloadSeconds records how long a download took in this process, including
// waits. The time in earlier processes is not known.
func (m *Metrics) DownloadSeconds(d time.Duration) { m.duration.Observe(d.Seconds()) }

// Held sets whether the hold file keeps a download from making requests.
func (m *Metrics) Held(held bool) { m.held.Set(oneIf(held)) }

// NextTry sets the source of ota_download_next_try_seconds. It is called at each
// scrape and must be safe for concurrent use; NaN: no try is due.
func (m *Metrics) NextTry(seconds func() float64) { m.nextTry.source.Store(&seconds) }

// JobFailed counts one job that failed, by the code and the reason of its
// error, one of [Labels].Failures.
func (m *Metrics) JobFailed(code, reason string) { m.failures.inc(code, reason) }

// Verification counts one comparison of a complete package with its digest.
func (m *Metrics) Verification(r VerificationResult) { m.verifications.inc(r) }

// Signature counts one verdict on the signature of a package, by one of
// [Labels].Signatures.
func (m *Metrics) Signature(result string) { m.signatures.inc(result) }

// JournalCommit counts one durable journal transaction and records its
// duration.
func (m *Metrics) JournalCommit(d time.Duration) {
	m.commits.Inc()
	m.commitDuration.Observe(d.Seconds())
}

// DataSync records how long the writes of one checkpoint's package data and
// their fdatasync took.
func (m *Metrics) DataSync(d time.Duration) { m.syncDuration.Observe(d.Seconds()) }

// JournalRecovery counts one opening of the journal.
func (m *Metrics) JournalRecovery(r Recovery) { m.recoveries.inc(r) }

// Callback counts one message to the callback URL.
func (m *Metrics) Callback(r CallbackResult) { m.callbacks.inc(r) }

// CallbackQueue sets the number of transitions that are not yet delivered.
func (m *Metrics) CallbackQueue(n int) { m.callbackQueue.Set(float64(n)) }

// StorageFree sets the source of ota_storage_free_bytes. Each scrape calls it,
// in the scrape's goroutine. It returns NaN if the value cannot be determined.
func (m *Metrics) StorageFree(free func() float64) { m.storage.source.Store(&free) }

// LogLinesDropped sets the source of ota_log_lines_dropped_total, which must only
// grow. It is called at each scrape and must be safe for concurrent use.
func (m *Metrics) LogLinesDropped(count func() float64) { m.logDropped.source.Store(&count) }

// ConfigWarnings sets how many settings of the configuration are not known.
func (m *Metrics) ConfigWarnings(n int) { m.configWarnings.Set(float64(n)) }

// atLeastZero returns n, or 0 for a negative n, with which a counter panics.
func atLeastZero(n int64) float64 { return float64(max(n, 0)) }
