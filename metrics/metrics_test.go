package metrics_test

import (
	"flag"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"otad/journal"
	"otad/metrics"
)

var update = flag.Bool("update", false, "rewrite testdata/metrics.golden")

func newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Labels{
		States:       []string{"idle", "downloading", "ready"},
		Transitions:  [][2]string{{"idle", "downloading"}, {"downloading", "ready"}},
		RetryReasons: []string{"timeout", "http_5xx", "other"},
		Failures:     [][2]string{{"DOWNLOAD_FAILED", "URL_EXPIRED"}, {"DISK_FULL", "OTHER"}},
	}, metrics.BuildInfo{Version: "v1.2.3", Revision: "abc", GoVersion: "go1.26", GoArch: "arm"})
}

// scrape returns the response to a scrape with these request headers.
func scrape(t *testing.T, m *metrics.Metrics, headers map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: HTTP %d: %s", w.Code, w.Body)
	}
	return w
}

// ownSeries is a scrape without the lines that differ from build to build.
func ownSeries(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	var own strings.Builder
	for line := range strings.Lines(scrape(t, m, nil).Body.String()) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if strings.HasPrefix(name, "ota_") && !strings.HasPrefix(name, "ota_build_info") {
			own.WriteString(line)
		}
	}
	return own.String()
}

func TestEverySeriesExistsFromTheStart(t *testing.T) {
	got := ownSeries(t, newMetrics())
	golden := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("scrape differs from %s (run with -update if meant):\n%s", golden, got)
	}
}

// seriesOf returns the type of each series in a scrape, and all its label values.
func seriesOf(scrape string) (types map[string]string, values map[string][]string) {
	types, values = map[string]string{}, map[string][]string{}
	label := regexp.MustCompile(`(\w+)="([^"]*)"`)
	for line := range strings.Lines(scrape) {
		if fields := strings.Fields(line); fields[1] == "TYPE" {
			types[fields[2]] = fields[3]
			continue
		}
		name, labels, found := strings.Cut(line, "{")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		for _, m := range label.FindAllStringSubmatch(labels, -1) {
			if m[1] != "le" {
				values[name] = append(values[name], m[1], m[2])
			}
		}
	}
	return types, values
}

// TestReadmeListsEverySeries holds the table of README.md against the golden
// file: the same series with the same types, labels and values.
func TestReadmeListsEverySeries(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "metrics.golden"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	types, values := seriesOf(string(golden))
	types["ota_build_info"] = "gauge" // differs from build to build, so the golden file lacks it
	values["ota_build_info"] = []string{"version", "revision", "goversion", "goarch"}
	types["ota_job_info"] = "gauge" // there is none without a job
	values["ota_job_info"] = []string{"package", "version"}
	row := regexp.MustCompile("(?m)^\\| `(ota_\\w+)` \\| (\\w+) \\| *([^|]*?) *\\|")
	listed := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(readme), -1) {
		name, kind, labels := m[1], m[2], m[3]
		if listed[name] {
			t.Errorf("%s is listed twice", name)
		}
		listed[name] = true
		if kind != types[name] {
			t.Errorf("%s is listed as %s, and is %q", name, kind, types[name])
		}
		if strings.HasPrefix(name, "ota_state_transitions") {
			continue // its values are those of ota_update_state
		}
		for _, value := range values[name] {
			if !strings.Contains(labels, "`"+value+"`") {
				t.Errorf("%s is listed without %s", name, value)
			}
		}
		if len(values[name]) == 0 && labels != "" {
			t.Errorf("%s has no labels, and is listed with %s", name, labels)
		}
	}
	for name := range types {
		if !listed[name] {
			t.Errorf("%s is not listed", name)
		}
	}
}

func TestEachMethodUpdatesItsSeries(t *testing.T) {
	tests := []struct {
		name string
		act  func(*metrics.Metrics)
		want []string
	}{
		{"state", func(m *metrics.Metrics) { m.SetState("ready") },
			[]string{`ota_update_state{state="ready"} 1`, `ota_update_state{state="idle"} 0`}},
		{"transition", func(m *metrics.Metrics) { m.Transition("idle", "downloading") },
			[]string{`ota_state_transitions_total{from="idle",to="downloading"} 1`}},
		{"size in bytes", func(m *metrics.Metrics) { m.SetSize(5 << 20) },
			[]string{`ota_download_size_bytes 5.24288e+06`}},
		{"durable in bytes", func(m *metrics.Metrics) { m.SetDurable(4096) },
			[]string{`ota_download_durable_bytes 4096`}},
		{"received in bytes", func(m *metrics.Metrics) { m.Received(10); m.Received(5); m.Received(-1) },
			[]string{`ota_download_received_bytes_total 15`}},
		{"discarded in bytes", func(m *metrics.Metrics) { m.Discarded(7); m.Discarded(-7) },
			[]string{`ota_download_discarded_bytes_total 7`}},
		{"retry", func(m *metrics.Metrics) { m.Retry("http_5xx") },
			[]string{`ota_download_retries_total{reason="http_5xx"} 1`}},
		{"resume", func(m *metrics.Metrics) { m.Resume(metrics.CauseNewURL) },
			[]string{`ota_download_resumes_total{cause="new_url"} 1`}},
		{"failure", func(m *metrics.Metrics) { m.JobFailed("DISK_FULL", "OTHER") },
			[]string{`ota_download_failures_total{code="DISK_FULL",reason="OTHER"} 1`,
				`ota_download_failures_total{code="DOWNLOAD_FAILED",reason="URL_EXPIRED"} 0`}},
		{"restart", func(m *metrics.Metrics) { m.Restart(metrics.RestartDigestState) },
			[]string{`ota_download_restarts_total{reason="digest_state"} 1`}},
		{"network awaited", func(m *metrics.Metrics) { m.NetworkWaiting(true) },
			[]string{`ota_network_waiting 1`}},
		{"network back", func(m *metrics.Metrics) { m.NetworkWaiting(true); m.NetworkWaiting(false) },
			[]string{`ota_network_waiting 0`}},
		{"log lines dropped", func(m *metrics.Metrics) { m.LogLinesDropped(func() float64 { return 7 }) },
			[]string{`ota_log_lines_dropped_total 7`}},
		{"config warnings", func(m *metrics.Metrics) { m.ConfigWarnings(2) },
			[]string{`ota_config_warnings 2`}},
		{"finished", func(m *metrics.Metrics) { m.Finished(metrics.Cancelled) },
			[]string{`ota_downloads_total{result="cancelled"} 1`}},
		{"download in seconds", func(m *metrics.Metrics) { m.DownloadSeconds(2 * time.Minute) },
			[]string{`ota_download_duration_seconds_sum 120`, `ota_download_duration_seconds_bucket{le="60"} 0`}},
		{"verification", func(m *metrics.Metrics) { m.Verification(metrics.VerificationMismatch) },
			[]string{`ota_verifications_total{result="mismatch"} 1`}},
		{"commit in seconds, and counted", func(m *metrics.Metrics) { m.JournalCommit(20 * time.Millisecond) },
			[]string{`ota_journal_commit_duration_seconds_sum 0.02`, `ota_journal_commits_total 1`}},
		{"sync in seconds", func(m *metrics.Metrics) { m.DataSync(20 * time.Millisecond) },
			[]string{`ota_data_sync_duration_seconds_bucket{le="0.01"} 0`, `ota_data_sync_duration_seconds_sum 0.02`}},
		{"recovery", func(m *metrics.Metrics) { m.JournalRecovery(metrics.RecoverySetAside) },
			[]string{`ota_journal_recoveries_total{result="set_aside"} 1`}},
		{"recovery of a newer journal", func(m *metrics.Metrics) { m.JournalRecovery(metrics.RecoveryNewer) },
			[]string{`ota_journal_recoveries_total{result="newer"} 1`, `ota_journal_recoveries_total{result="clean"} 0`}},
		{"recovery by a new file", func(m *metrics.Metrics) { m.JournalRecovery(metrics.RecoveryRebuilt) },
			[]string{`ota_journal_recoveries_total{result="rebuilt"} 1`}},
		{"package removed", func(m *metrics.Metrics) { m.PackageRemoved() },
			[]string{`ota_packages_removed_total 1`}},
		{"callback", func(m *metrics.Metrics) { m.Callback(metrics.CallbackDropped) },
			[]string{`ota_callbacks_total{result="dropped"} 1`}},
		{"queue", func(m *metrics.Metrics) { m.CallbackQueue(3) },
			[]string{`ota_callback_queue_length 3`}},
		{"storage at each scrape", func(m *metrics.Metrics) { m.StorageFree(func() float64 { return 123 }) },
			[]string{`ota_storage_free_bytes 123`}},
		{"storage not known", func(m *metrics.Metrics) { m.StorageFree(math.NaN) },
			[]string{`ota_storage_free_bytes NaN`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMetrics()
			test.act(m)
			got := ownSeries(t, m)
			for _, want := range test.want {
				if !strings.Contains(got, "\n"+want+"\n") {
					t.Errorf("scrape lacks %q:\n%s", want, got)
				}
			}
		})
	}
}

// TestResultsOfTheJournalHaveTheirSeries holds Recovery against journal.Result:
// the caller converts one into the other.
func TestResultsOfTheJournalHaveTheirSeries(t *testing.T) {
	m := newMetrics()
	before := strings.Count(ownSeries(t, m), "\n")
	for _, r := range []journal.Result{journal.Clean, journal.Created, journal.Newer, journal.Rebuilt, journal.SetAside} {
		m.JournalRecovery(metrics.Recovery(r))
		want := `ota_journal_recoveries_total{result="` + string(r) + `"} 1`
		if !strings.Contains(ownSeries(t, m), want+"\n") {
			t.Errorf("scrape lacks %q", want)
		}
	}
	if after := strings.Count(ownSeries(t, m), "\n"); after != before {
		t.Errorf("%d lines after, %d before", after, before)
	}
}

func TestStatusesAreCountedOneByOneOrByClass(t *testing.T) {
	for code, label := range map[int]string{
		0: "none", 200: "200", 206: "206", 403: "403", 404: "404", 412: "412", 416: "416", 429: "429",
		500: "500", 503: "503", 204: "2xx", 302: "3xx", 400: "4xx", 451: "4xx", 502: "5xx", 599: "5xx",
		-1: "other", 101: "other", 600: "other", 999: "other",
	} {
		m := newMetrics()
		m.Request(code)
		want := `ota_download_requests_total{code="` + label + `"} 1`
		if got := ownSeries(t, m); !strings.Contains(got, want+"\n") {
			t.Errorf("status %d: scrape lacks %q", code, want)
		}
	}
}

func TestUnknownLabelValuesShareOneSeries(t *testing.T) {
	m := newMetrics()
	before := strings.Count(ownSeries(t, m), "\n")
	const rounds = 50
	for i := range rounds {
		strange := "https://host/secret?" + strconv.Itoa(i)
		m.SetState(strange)
		m.Transition(strange, strange)
		m.Request(1000 + i)
		m.Retry(strange)
		m.Resume(metrics.Cause(strange))
		m.Restart(metrics.RestartReason(strange))
		m.Finished(metrics.Result(strange))
		m.JobFailed(strange, strange)
		m.Verification(metrics.VerificationResult(strange))
		m.JournalRecovery(metrics.Recovery(strange))
		m.Callback(metrics.CallbackResult(strange))
	}
	after := ownSeries(t, m)
	// One "other" for each of the eleven, less the retry reason that is there
	// already.
	if got, want := strings.Count(after, "\n"), before+10; got != want {
		t.Errorf("%d lines, want %d:\n%s", got, want, after)
	}
	if strings.Contains(after, "secret") {
		t.Errorf("a strange value became a label:\n%s", after)
	}
	for _, want := range []string{
		`ota_download_resumes_total{cause="other"} 50`,
		`ota_download_retries_total{reason="other"} 50`,
		`ota_state_transitions_total{from="other",to="other"} 50`,
		`ota_update_state{state="other"} 1`,
	} {
		if !strings.Contains(after, want+"\n") {
			t.Errorf("scrape lacks %q", want)
		}
	}
}

func TestEveryScrapeSeesExactlyOneState(t *testing.T) {
	m := newMetrics()
	var writer sync.WaitGroup
	stop := make(chan struct{})
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				m.SetState([]string{"idle", "downloading", "ready"}[i%3])
			}
		}
	})
	for range 50 {
		ones := 0
		for line := range strings.Lines(ownSeries(t, m)) {
			if strings.HasPrefix(line, "ota_update_state{") && strings.HasSuffix(line, " 1\n") {
				ones++
			}
		}
		if ones != 1 {
			t.Errorf("%d states are 1, want 1", ones)
		}
	}
	close(stop)
	writer.Wait()
}

func TestBuildInfoNamesTheBinary(t *testing.T) {
	want := `ota_build_info{goarch="arm",goversion="go1.26",revision="abc",version="v1.2.3"} 1`
	if got := scrape(t, newMetrics(), nil).Body.String(); !strings.Contains(got, want+"\n") {
		t.Errorf("scrape lacks %q:\n%s", want, got)
	}
}

func TestScrapeIsPlainText(t *testing.T) {
	w := scrape(t, newMetrics(), map[string]string{
		"Accept-Encoding": "gzip",
		"Accept":          "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
	})
	if got := w.Header().Get("Content-Encoding"); got != "" && got != "identity" {
		t.Errorf("Content-Encoding %q, want none", got)
	}
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("Content-Type %q, want the text format", got)
	}
}

func TestProcessAndRuntimeAreReported(t *testing.T) {
	got := scrape(t, newMetrics(), nil).Body.String()
	for _, name := range []string{"process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds", "go_goroutines", "go_memory_classes_total_bytes"} {
		if !strings.Contains(got, "\n"+name+" ") {
			t.Errorf("scrape lacks %s", name)
		}
	}
	if n := strings.Count(got, "\ngo_"); n > 20 {
		t.Errorf("%d series of the Go runtime: the collector is not trimmed", n)
	}
}

func TestDefaultRegistryStaysUntouched(t *testing.T) {
	scrape(t, newMetrics(), nil)
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), "ota_") {
			t.Errorf("%s is in the default registry", family.GetName())
		}
	}
}

func TestLint(t *testing.T) {
	m := newMetrics()
	m.StorageFree(func() float64 { return 1 })
	lint(t, m)
}

func lint(t *testing.T, m *metrics.Metrics) {
	t.Helper()
	body := scrape(t, m, nil).Body.String()
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	for line := range strings.Lines(body) {
		if fields := strings.Fields(line); fields[0] == "#" && fields[1] == "HELP" && len(fields) < 4 {
			t.Errorf("no help text: %s", line)
		}
	}
}

func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not on the PATH; TestLint has covered what the library can check")
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = scrape(t, withJob(), nil).Body
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
