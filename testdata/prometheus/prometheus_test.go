// Package prometheus_test has Debian's Prometheus scrape real otads through a
// refusal, a reset, a SIGKILL, a resume, Ready and a reboot, and asks Prometheus
// what it saw. The queries of the dashboards run on the same data, which the
// pictures in metrics/grafana are drawn of.
//
//	make test-metrics
package prometheus_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

const (
	patience = 30 * time.Second
	scrape   = 250 * time.Millisecond
	mib      = 1 << 20
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// board is a real otad and what outlives its processes.
type board struct {
	t         *testing.T
	addr, dir string
	flags     []string
	process   *otadrun.Process // nil: none runs
}

func newBoard(t *testing.T, flags ...string) *board {
	t.Helper()
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(t, err)
	return &board{t: t, addr: addr, dir: t.TempDir(), flags: flags}
}

// command returns the arguments of a serve.
func (b *board) command() []string {
	return append([]string{"../../bin/otad", "serve", "-state-dir", b.dir, "-listen", b.addr, "-min-free", "0"}, b.flags...)
}

func (b *board) start() { b.run(b.command()) }

func (b *board) run(command []string) {
	b.t.Helper()
	p, err := otadrun.Start(otadrun.Command(command[0], command[1:]...))
	check(b.t, err)
	b.process = p
	b.t.Cleanup(func() { p.Kill() })
	check(b.t, p.AwaitListener(b.addr, patience))
}

// reboot starts otad as after a reboot, in namespaces of its own: the boot has
// another identifier, and CLOCK_BOOTTIME another value. Where the test may not
// make them it is a start like any other.
func (b *board) reboot() {
	b.t.Helper()
	id := filepath.Join(b.t.TempDir(), "boot_id")
	check(b.t, os.WriteFile(id, []byte("00000000-0000-4000-8000-000000000000\n"), 0o444))
	own := []string{"unshare", "--mount", "--time", "--boottime", "1000000", "--kill-child=KILL", "--fork", "sh", "-c",
		`mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, id}
	if out, err := exec.Command(own[0], append(own[1:], "true")...).CombinedOutput(); err != nil {
		b.t.Logf("no namespaces here, so the boot stays the same: %v\n%s", err, out)
		own = nil
	}
	b.run(append(own, b.command()...))
}

func (b *board) post(job otadrun.Job) {
	b.t.Helper()
	client := otadrun.NewClient(b.addr)
	defer client.Close()
	answer, err := client.Post(b.t.Context(), job)
	check(b.t, err)
	check(b.t, answer.Err())
}

func TestPrometheusSeesADownloadThroughTroubleAndAReboot(t *testing.T) {
	object := origintest.Object{Size: 12 * mib, Seed: 1}
	origin := origintest.New(t, object,
		origintest.On(1).Status(http.StatusServiceUnavailable).RetryAfter("1"), origintest.On(2).ResetAt(3*mib))
	hold := filepath.Join(t.TempDir(), "hold")
	b := newBoard(t, "-rate-limit", "2MiB", "-hold-file", hold)
	prometheus := startPrometheus(t, scrape, b.addr)
	b.start()
	prometheus.await(t, `ota_update_state{state="idle"} == 1`)
	time.Sleep(4 * scrape)
	begun := time.Now().Add(-4 * scrape)
	var marks []mark
	note := func(text string) { marks = append(marks, mark{time.Since(begun), text}) }
	note("job")
	b.post(otadrun.Job{Version: "1.2.3", Name: "u.zip", URL: origin.URLFor("/u.zip"), Size: object.Len(), MD5: object.MD5()})
	prometheus.await(t, fmt.Sprintf("ota_download_durable_bytes > %d", 6*mib))
	note("kill -9")
	b.process.Kill()
	check(t, os.WriteFile(hold, nil, 0o600))
	time.Sleep(6 * scrape)
	b.start()
	prometheus.await(t, "ota_held == 1")
	// The age goes on from before the kill: it is more than the process's own.
	prometheus.await(t, "ota_download_progress_age_seconds > time() - process_start_time_seconds + 1")
	check(t, os.Remove(hold))
	prometheus.await(t, `ota_update_state{state="ready"} == 1`)
	// The journal has the end of the work: see what it is before the reboot.
	time.Sleep(4 * scrape)
	jobSeries := []string{"ota_last_job_duration_seconds", "ota_job_retries", "ota_job_resumes", "ota_job_received_bytes",
		`ota_job_info{package="u.zip",version="1.2.3"}`, "ota_download_last_progress_timestamp_seconds", "ota_download_progress_age_seconds",
		"ota_download_size_bytes", "ota_download_durable_bytes", "ota_job_starts_without_progress"}
	before := map[string]float64{}
	for _, name := range jobSeries {
		before[name] = prometheus.value(t, name)
	}
	note("reboot")
	b.process.Kill()
	time.Sleep(2 * scrape)
	b.reboot()
	started := float64(time.Now().UnixMilli()) / 1000
	result := `ota_last_job_result{result="succeeded",code="NONE"} == 1`
	prometheus.await(t, fmt.Sprintf("timestamp(%s) > %f", result, started))
	for _, name := range jobSeries {
		if after := prometheus.value(t, name); !same(after, before[name]) {
			t.Errorf("%s is %v after the reboot, was %v", name, after, before[name])
		}
	}
	if got := prometheus.value(t, "ota_job_retries"); got != 2 {
		t.Errorf("the job has %v retries, the origin saw a 503 and a reset", got)
	}
	if got := prometheus.value(t, `max_over_time(sum(ota_download_retries_total)[5m:250ms])`); got != 2 {
		t.Errorf("Prometheus saw %v retries, the origin a 503 and a reset", got)
	}
	if got := prometheus.value(t, "ota_job_resumes"); got != 2 {
		t.Errorf("the job was resumed %v times, want after the reset and after the kill", got)
	}
	if got, want := prometheus.value(t, `max_over_time(ota_download_resumes_total{cause="restart"}[5m])`), 1.0; got != want {
		t.Errorf("%v resumes after a restart, want %v", got, want)
	}
	if n := len(origin.Requests()); n != 4 {
		t.Errorf("the origin saw %d requests, want the refused, the reset, the killed and the last", n)
	}
	// 12 MiB at 2 MiB/s and a wait of a second, in two processes.
	if got := prometheus.value(t, "ota_last_job_duration_seconds"); got < 5 || got > patience.Seconds() {
		t.Errorf("the job took %v s over all processes", got)
	}
	// Of the killed process the last checkpoints are not in the sum.
	if got := prometheus.value(t, "ota_job_received_bytes"); got < 9*mib || got > float64(object.Len()+2*mib) {
		t.Errorf("the job received %v bytes over all processes", got)
	}
	checkDurable(t, prometheus, object.Len())
	for _, vector := range []string{"ota_update_state", "ota_last_job_result"} {
		times, sums := prometheus.samples(t, vector)
		for _, at := range times {
			if sums[at] != 1 {
				t.Errorf("at %v the values of %s add up to %v", at, vector, sums[at])
			}
		}
	}
	times, _ := prometheus.samples(t, "ota_update_state")
	t.Logf("%d scrapes; the slowest took %.1f ms, half of them at most %.1f ms, for %v samples", len(times),
		1000*prometheus.value(t, "max_over_time(scrape_duration_seconds[5m])"),
		1000*prometheus.value(t, "quantile_over_time(0.5, scrape_duration_seconds[5m])"), prometheus.value(t, "scrape_samples_scraped"))
	testDashboards(t, prometheus)
	time.Sleep(4 * scrape)
	picture{file: "board", title: "otad: a board", about: "12 MiB at 2 MiB/s through a 503, a reset, a kill, a hold and a reboot",
		panels: []string{"State", "How the last job ended", "Progress", "Rate", "Retries and resumes of the job", "Since the last progress"},
		marks:  marks}.draw(t, prometheus, begun)
}

// checkDurable checks that the durable bytes never fell while the job lasted, and
// that they ended with the package.
func checkDurable(t *testing.T, prometheus server, size int64) {
	t.Helper()
	times, bytes := prometheus.samples(t, "ota_download_durable_bytes")
	if len(times) < 10 {
		t.Fatalf("%d samples of the durable bytes", len(times))
	}
	before := 0.0
	for _, at := range times {
		if bytes[at] < before {
			t.Errorf("the durable bytes fell from %v to %v", before, bytes[at])
		}
		before = bytes[at]
	}
	if before != float64(size) {
		t.Errorf("the last sample has %v durable bytes of %d", before, size)
	}
}
