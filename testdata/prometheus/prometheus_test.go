// Package prometheus_test has Debian's Prometheus scrape a real otad through a
// refusal, a reset, a SIGKILL, a resume, Ready and a start after that, and asks
// Prometheus what it saw. The queries of the dashboards run on the same data.
//
//	make test-metrics
package prometheus_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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

// server is a running Prometheus.
type server struct{ addr string }

func startPrometheus(t *testing.T, target string) server {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not on the PATH: make test-metrics installs it")
	}
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(t, err)
	dir := t.TempDir()
	alerts, err := filepath.Abs("../../metrics/alerts.yml")
	check(t, err)
	config := filepath.Join(dir, "prometheus.yml")
	check(t, os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: %v, scrape_timeout: %v, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - job_name: otad
    static_configs: [{targets: ["%s"]}]
`, scrape, scrape, alerts, target), 0o600))
	p, err := otadrun.Start(otadrun.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn"))
	check(t, err)
	t.Cleanup(func() { p.Kill() })
	check(t, p.Await(patience, "Prometheus is ready", func() (bool, error) {
		resp, err := http.Get("http://" + addr + "/-/ready")
		if err != nil {
			return false, nil
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	}))
	return server{addr}
}

// series is one series of an answer: the labels, and pairs of time and value.
type series struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
}

// query returns the answer to an instant query.
func (s server) query(t *testing.T, expr string) []series {
	t.Helper()
	resp, err := http.Get("http://" + s.addr + "/api/v1/query?query=" + url.QueryEscape(expr))
	check(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(t, err)
	var answer struct {
		Error string
		Data  struct{ Result []series }
	}
	check(t, json.Unmarshal(body, &answer))
	if answer.Error != "" {
		t.Fatalf("%s: %s", expr, answer.Error)
	}
	return answer.Data.Result
}

func number(t *testing.T, pair [2]any) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(fmt.Sprint(pair[1]), 64)
	check(t, err)
	return v
}

// value returns the answer to a query for one number.
func (s server) value(t *testing.T, expr string) float64 {
	t.Helper()
	all := s.query(t, expr)
	if len(all) != 1 {
		t.Fatalf("%s has %d answers", expr, len(all))
	}
	return number(t, all[0].Value)
}

// await waits until a query has an answer.
func (s server) await(t *testing.T, expr string) {
	t.Helper()
	check(t, otadrun.Await(patience, expr, func() (bool, error) { return len(s.query(t, expr)) > 0, nil }))
}

func TestPrometheusSeesADownloadThroughTroubleAndStarts(t *testing.T) {
	object := origintest.Object{Size: 12 * mib, Seed: 1}
	origin := origintest.New(t, object,
		origintest.On(1).Status(http.StatusServiceUnavailable).RetryAfter("1"), origintest.On(2).ResetAt(3*mib))
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(t, err)
	prometheus := startPrometheus(t, addr)
	dir := t.TempDir()
	var board *otadrun.Process
	start := func() {
		t.Helper()
		board, err = otadrun.Start(otadrun.Command("../../bin/otad", "serve", "-state-dir", dir, "-listen", addr, "-min-free", "0", "-rate-limit", "2MiB"))
		check(t, err)
		p := board
		t.Cleanup(func() { p.Kill() })
		check(t, board.AwaitListener(addr, patience))
	}
	start()
	prometheus.await(t, `ota_update_state{state="idle"} == 1`)
	client := otadrun.NewClient(addr)
	defer client.Close()
	answer, err := client.Post(t.Context(), otadrun.Job{Version: "1.2.3", Name: "u.zip", URL: origin.URLFor("/u.zip"), Size: object.Len(), MD5: object.MD5()})
	check(t, err)
	check(t, answer.Err())
	prometheus.await(t, fmt.Sprintf("ota_download_durable_bytes > %d", 6*mib))
	board.Kill()
	start()
	prometheus.await(t, `ota_update_state{state="ready"} == 1`)
	_, err = board.Stop(patience)
	check(t, err)
	start() // as after the reboot into the package
	time.Sleep(4 * scrape)
	prometheus.await(t, `ota_update_state{state="ready"} == 1`)

	if got := prometheus.value(t, `max_over_time(sum(ota_download_retries_total)[5m:250ms])`); got != 2 {
		t.Errorf("Prometheus saw %v retries, the origin a 503 and a reset", got)
	}
	if got, want := prometheus.value(t, `max_over_time(ota_download_resumes_total{cause="restart"}[5m])`), 1.0; got != want {
		t.Errorf("%v resumes after a restart, want %v", got, want)
	}
	if n := len(origin.Requests()); n != 4 {
		t.Errorf("the origin saw %d requests, want the refused, the reset, the killed and the last", n)
	}
	durable := prometheus.query(t, "ota_download_durable_bytes[5m]")
	if len(durable) != 1 || len(durable[0].Values) < 10 {
		t.Fatalf("durable bytes: %v", durable)
	}
	before := 0.0
	for _, sample := range durable[0].Values {
		if now := number(t, sample); now < before {
			t.Errorf("the durable bytes fell from %v to %v", before, now)
		} else {
			before = now
		}
	}
	if before != float64(object.Len()) {
		t.Errorf("the last sample has %v durable bytes of %d", before, object.Len())
	}
	states := map[any]float64{}
	for _, state := range prometheus.query(t, "ota_update_state[5m]") {
		for _, sample := range state.Values {
			states[sample[0]] += number(t, sample)
		}
	}
	for at, sum := range states {
		if sum != 1 {
			t.Errorf("at %v the states add up to %v", at, sum)
		}
	}
	t.Logf("%d scrapes; the slowest took %.1f ms, for %v samples", len(durable[0].Values),
		1000*prometheus.value(t, "max_over_time(scrape_duration_seconds[5m])"), prometheus.value(t, "scrape_samples_scraped"))
	testDashboards(t, prometheus)
}

// testDashboards runs each query of the dashboards. A query that shows only
// trouble may have no answer here.
func testDashboards(t *testing.T, prometheus server) {
	variables := strings.NewReplacer("$__rate_interval", "1m", "$__range", "10m", "$job", ".*", "$instance", ".*")
	for _, name := range []string{"board", "fleet"} {
		text, err := os.ReadFile("../../metrics/grafana/" + name + ".json")
		check(t, err)
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		check(t, json.Unmarshal(text, &dashboard))
		n := 0
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				n++
				expr := variables.Replace(target.Expr)
				troubleOnly := strings.HasSuffix(expr, "> 0") || strings.Contains(expr, " unless ")
				if len(prometheus.query(t, expr)) == 0 && !troubleOnly {
					t.Errorf("%s, %s: no data for %s", name, panel.Title, expr)
				}
			}
		}
		t.Logf("%s: %d panels, %d queries", name, len(dashboard.Panels), n)
	}
}
