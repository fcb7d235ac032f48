package prometheus_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"otad/testdata/otadrun"
)

// server is a running Prometheus.
type server struct {
	addr    string
	process *otadrun.Process
}

// startPrometheus starts one that scrapes the targets and evaluates the alerts.
func startPrometheus(t *testing.T, every time.Duration, targets ...string) server {
	t.Helper()
	alerts, err := filepath.Abs("../../metrics/alerts.yml")
	check(t, err)
	return startServer(t, fmt.Sprintf(`
global: {scrape_interval: %v, scrape_timeout: %v, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - job_name: otad
    static_configs: [{targets: ["%s"]}]
`, every, every, alerts, strings.Join(targets, `", "`)), "--storage.tsdb.path="+filepath.Join(t.TempDir(), "data"))
}

// startServer starts a Prometheus with this configuration.
func startServer(t *testing.T, config string, flags ...string) server {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not on the PATH: make test-metrics installs it")
	}
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(t, err)
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	check(t, os.WriteFile(file, []byte(config), 0o600))
	flags = append([]string{"--config.file=" + file, "--web.listen-address=" + addr, "--log.level=warn"}, flags...)
	p, err := otadrun.Start(otadrun.Command(program, flags...))
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
	return server{addr, p}
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
	return s.ask(t, "query", url.Values{"query": {expr}})
}

// queryRange returns the answer to a query at each step of a time.
func (s server) queryRange(t *testing.T, expr string, from, to time.Time, step time.Duration) []series {
	t.Helper()
	seconds := func(at time.Time) string { return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64) }
	return s.ask(t, "query_range", url.Values{"query": {expr}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {step.String()}})
}

func (s server) ask(t *testing.T, path string, parameters url.Values) []series {
	t.Helper()
	resp, err := http.Get("http://" + s.addr + "/api/v1/" + path + "?" + parameters.Encode())
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
		t.Fatalf("%s: %s", parameters.Get("query"), answer.Error)
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
	if err := otadrun.Await(patience, expr, func() (bool, error) { return len(s.query(t, expr)) > 0, nil }); err != nil {
		for _, down := range s.query(t, "up") {
			t.Logf("up %v %s", down.Value[1], down.Metric["instance"])
		}
		t.Fatal(err)
	}
}

// samples returns every sample of an instant vector's series in the last five
// minutes, those of one scrape added up.
func (s server) samples(t *testing.T, vector string) (times []float64, sums map[float64]float64) {
	t.Helper()
	sums = map[float64]float64{}
	for _, one := range s.query(t, vector+"[5m]") {
		for _, sample := range one.Values {
			at := sample[0].(float64)
			if _, seen := sums[at]; !seen {
				times = append(times, at)
			}
			sums[at] += number(t, sample)
		}
	}
	slices.Sort(times)
	return times, sums
}

// same reports whether a and b are equal, or both not a number.
func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
