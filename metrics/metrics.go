// Package metrics exports otad's state to Prometheus: its own series with the
// prefix ota_, the process collector and a few series of the Go runtime. The
// README of this directory lists every series.
//
// All series are in a registry of their own; the library's default registry and
// the default HTTP mux are not used. Amounts are in base units (bytes,
// seconds). No label value is a URL or an error text. Each label has a closed
// set of values, all of which are present from the start; ota_job_info alone has
// the name and the version of a package.
//
// A caller updates a series after the fact is durable. So a metric may lag
// behind the journal, but is never ahead of it. The series of [Job] are read from
// the journal at each scrape.
package metrics

import (
	"net/http"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Labels are the label values that other packages define, as they appear in the
// series.
type Labels struct {
	States       []string    // every state of the machine, the initial one first
	Transitions  [][2]string // every transition of the machine: from, to
	RetryReasons []string    // every reason for which a request is tried again
	Failures     [][2]string // every way in which a job fails: code, reason
}

// BuildInfo describes the running binary, for ota_build_info.
type BuildInfo struct {
	Version   string // release, for example v1.2.0
	Revision  string // commit the binary was built from
	GoVersion string // runtime.Version()
	GoArch    string // runtime.GOARCH
}

// Metrics has every series of otad. Its methods may be called from any
// goroutine; they never fail and never block.
type Metrics struct {
	registry *prometheus.Registry

	state       *stateSet
	transitions pairSet

	size, durable       prometheus.Gauge
	received, discarded prometheus.Counter
	requests, retries   counterSet[string]
	resumes             counterSet[Cause]
	restarts            counterSet[RestartReason]
	waiting, held       prometheus.Gauge
	nextTry             *sourceGauge
	job                 *jobSeries
	finished            counterSet[Result]
	failures            pairSet
	duration            prometheus.Histogram
	verifications       counterSet[VerificationResult]

	commitDuration, syncDuration prometheus.Histogram
	commits                      prometheus.Counter
	recoveries                   counterSet[Recovery]

	installs        counterSet[InstallResult]
	installDuration prometheus.Histogram

	callbacks     counterSet[CallbackResult]
	callbackQueue prometheus.Gauge

	storage         *sourceGauge
	packagesRemoved prometheus.Counter

	logDropped     *sourceGauge
	configWarnings prometheus.Gauge
}

// New returns a Metrics with every series: counters and gauges at 0, the first
// state of l at 1, and free storage NaN until [Metrics.StorageFree] sets its
// source.
func New(l Labels, b BuildInfo) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	factory := promauto.With(m.registry)
	m.addMachine(factory, l)
	m.addDownload(factory, l)
	m.addDurability(factory)
	m.addInstall(factory)
	m.addCallbacks(factory)
	m.addProcess(factory)
	m.job = newJobSeries(l.Failures)
	m.registry.MustRegister(m.job)
	addBuildInfo(factory, b)
	return m
}

// Handler returns a handler that serves the series in Prometheus's text format.
// The response is not compressed: it is small and mostly stays on the board.
// Scrapes at the same time share one collection.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{m.registry, newRuntime()}, promhttp.HandlerOpts{
		DisableCompression: true,
		CoalesceGather:     true,
		// One collector that cannot read its source must not hide the others.
		ErrorHandling: promhttp.ContinueOnError,
	})
}

// WriteFile writes otad's own series to the file at path, in Prometheus's text
// format, for the textfile collector of node_exporter. It replaces the file by
// rename(2), so a reader gets one collection or the other. The series of the
// process and of the Go runtime are left out: node_exporter refuses them, since
// it has its own. Any goroutine may call WriteFile, for one path one at a time.
func (m *Metrics) WriteFile(path string) error {
	return prometheus.WriteToTextfile(path, m.registry)
}

func (m *Metrics) addMachine(factory promauto.Factory, l Labels) {
	m.state = newStateSet(l.States)
	m.registry.MustRegister(m.state)
	m.transitions = newPairSet(factory, "ota_state_transitions_total",
		"Transitions of the update machine that are in the journal.", [2]string{"from", "to"}, l.Transitions)
}

func (m *Metrics) addDownload(factory promauto.Factory, l Labels) {
	m.size = newGauge(factory, "ota_download_size_bytes",
		"Size of the package in bytes, 0 while it is not known.")
	m.durable = newGauge(factory, "ota_download_durable_bytes",
		"Bytes of the package that are on the medium and in the journal.")
	m.received = newCounter(factory, "ota_download_received_bytes_total",
		"Bytes of package data received from the origin, including those discarded.")
	m.discarded = newCounter(factory, "ota_download_discarded_bytes_total",
		"Bytes of package data received and discarded: overlaps, refused responses, restarts.")
	m.requests = newCounterSet(factory, "ota_download_requests_total",
		"Requests to the origin by the status of the response, none without a response.", "code", codes())
	m.retries = newCounterSet(factory, "ota_download_retries_total",
		"Requests tried again, by the reason why the request before failed.", "reason", l.RetryReasons)
	m.resumes = newCounterSet(factory, "ota_download_resumes_total",
		"Downloads resumed at an offset above 0, by cause.", "cause", causes())
	m.restarts = newCounterSet(factory, "ota_download_restarts_total",
		"Downloads begun again at offset 0, by reason.", "reason", restartReasons())
	m.nextTry = newSourceGauge(factory, "ota_download_next_try_seconds",
		"Seconds until a failed download is started again, NaN when it is not.")
	m.held = newGauge(factory, "ota_held",
		"1 while the hold file keeps a download from making requests, else 0.")
	m.waiting = newGauge(factory, "ota_network_waiting",
		"1 while a download waits for the board to get a network, else 0.")
	m.finished = newCounterSet(factory, "ota_downloads_total",
		"Downloads that ended, by result; each failed try of serve counts as failed.", "result", results())
	m.failures = newPairSet(factory, "ota_download_failures_total",
		"Downloads that failed, by the code and the reason of their error.", [2]string{"code", "reason"}, l.Failures)
	m.duration = newHistogram(factory, "ota_download_duration_seconds",
		"Time from the start or resumption of a download by this process to its end: one value for each download that succeeds.",
		10, 60, 300, 900, 3600, 14400, 43200, 86400)
	m.verifications = newCounterSet(factory, "ota_verifications_total",
		"Comparisons of a complete package with its expected digest, by result.", "result", verificationResults())
}

func (m *Metrics) addDurability(factory promauto.Factory) {
	m.commitDuration = newHistogram(factory, "ota_journal_commit_duration_seconds",
		"Time that a durable journal transaction took: one value for each.", syncBuckets()...)
	m.commits = newCounter(factory, "ota_journal_commits_total",
		"Durable journal transactions.")
	m.recoveries = newCounterSet(factory, "ota_journal_recoveries_total",
		"Openings of the journal, by how the journal was found.", "result", recoveries())
	m.syncDuration = newHistogram(factory, "ota_data_sync_duration_seconds",
		"Time that the writes and the fdatasync of a checkpoint's package data took: one value for each checkpoint.", syncBuckets()...)
	m.storage = newSourceGauge(factory, "ota_storage_free_bytes",
		"Bytes free in the state directory for a user other than root, NaN when not known.")
	m.packagesRemoved = newCounter(factory, "ota_packages_removed_total",
		"Packages of earlier jobs that were deleted to make room for a new one.")
}

func (m *Metrics) addCallbacks(factory promauto.Factory) {
	m.callbacks = newCounterSet(factory, "ota_callbacks_total",
		"Messages to the callback URL, by result.", "result", callbackResults())
	m.callbackQueue = newGauge(factory, "ota_callback_queue_length",
		"State transitions that wait to be delivered to the callback URL.")
}

func (m *Metrics) addProcess(factory promauto.Factory) {
	m.logDropped = new(sourceGauge)
	factory.NewCounterFunc(prometheus.CounterOpts{Name: "ota_log_lines_dropped_total",
		Help: "Lines of the log that were dropped because nobody read them in time."}, m.logDropped.counted)
	m.configWarnings = newGauge(factory, "ota_config_warnings",
		"Settings in the configuration that this otad does not know and ignores.")
}

func addBuildInfo(factory promauto.Factory, b BuildInfo) {
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ota_build_info",
		Help: "The running otad, always 1.",
	}, []string{"version", "revision", "goversion", "goarch"}).
		WithLabelValues(b.Version, b.Revision, b.GoVersion, b.GoArch).Set(1)
}

// newRuntime returns the process collector and, of the Go runtime, only the fixed
// base series and the total memory, so that a scrape is cheap.
func newRuntime() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(
			collectors.WithGoCollectorMemStatsMetricsDisabled(),
			collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{
				Matcher: regexp.MustCompile(`^/memory/classes/total:bytes$`),
			}),
		),
	)
	return registry
}

// syncBuckets returns buckets in seconds, for a fast NVMe (under a millisecond)
// up to a worn SD card (seconds).
func syncBuckets() []float64 {
	return []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10}
}
