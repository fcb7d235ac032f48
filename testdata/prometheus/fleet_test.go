package prometheus_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

// A rollout over twelve boards, each a real otad: one gets a package whose digest
// is not that of the job, one asks for an object that is not there, one is killed
// and goes on, and two still have the package before.
func TestPrometheusSeesARollout(t *testing.T) {
	const boards, old, wrong, missing, killed = 12, 2, 5, 7, 9 // numbers of boards; the first old ones get 1.2.3
	object := origintest.Object{Size: 6 * mib, Seed: 2}
	origin := origintest.NewConfig(t, origintest.Config{Object: object, Allow: origintest.TwoConnections,
		Script: []*origintest.Rule{origintest.Always().Path("/missing.zip").Status(http.StatusNotFound)}})
	var fleet []*board
	var targets []string
	for range boards {
		b := newBoard(t, "-rate-limit", "1MiB")
		fleet, targets = append(fleet, b), append(targets, b.addr)
	}
	prometheus := startPrometheus(t, 2*scrape, targets...)
	for _, b := range fleet {
		b.start()
	}
	prometheus.await(t, fmt.Sprintf(`sum(ota_update_state{state="idle"}) == %d`, boards))
	time.Sleep(4 * scrape)
	begun := time.Now().Add(-4 * scrape)
	marks := []mark{{time.Since(begun), "rollout"}}
	for i, b := range fleet {
		job := otadrun.Job{Version: "1.2.4", Name: "u.zip", URL: origin.URLFor("/u.zip"), Size: object.Len(), MD5: object.MD5()}
		switch i {
		case wrong:
			job.MD5 = "00000000000000000000000000000000"
		case missing:
			job.URL = origin.URLFor("/missing.zip")
		}
		if i < old {
			job.Version = "1.2.3"
		}
		b.post(job)
		time.Sleep(scrape)
	}
	prometheus.await(t, fmt.Sprintf(`ota_download_durable_bytes{instance=%q} > %d`, fleet[killed].addr, 2*mib))
	marks = append(marks, mark{time.Since(begun), "kill -9 of one"})
	fleet[killed].process.Kill()
	time.Sleep(2 * scrape)
	fleet[killed].start()
	prometheus.await(t, fmt.Sprintf(`sum(ota_update_state{state="ready"}) == %d`, boards-2))

	for query, want := range map[string]float64{
		`sum(ota_last_job_result{result="succeeded",code="NONE"})`:                                                  boards - 2,
		`sum(ota_last_job_result{result="failed",code="MD5_MISMATCH"})`:                                             1,
		`sum(ota_last_job_result{result="failed",code="DOWNLOAD_FAILED"})`:                                          1,
		`sum(ota_last_job_result)`:                                                                                  boards,
		`count(ota_job_info{package="u.zip",version="1.2.4"})`:                                                      boards - old,
		`count(ota_job_info{package="u.zip",version="1.2.3"})`:                                                      old,
		`count(ota_download_progress_age_seconds >= 0)`:                                                             1, // the one that tries again
		`count(ALERTS{alertname="OtadRolloutFails",version="1.2.4"})`:                                               1,
		`sum by (version) (ota_update_state{state="failed"} * on (instance) group_left (version) ota_job_info) > 0`: 2,
		`count(ota_last_job_duration_seconds > 2 and on (instance) ota_last_job_result{result="succeeded"} == 1)`:   boards - 2,
	} {
		check(t, otadrun.Await(patience, fmt.Sprintf("%s is %v", query, want), func() (bool, error) {
			all := prometheus.query(t, query)
			return len(all) == 1 && number(t, all[0].Value) == want, nil
		}))
	}
	time.Sleep(8 * scrape)
	picture{file: "fleet", title: "otad: the fleet", about: "twelve boards: a rollout of 1.2.4, two boards with a wrong job, one that is killed",
		panels: []string{"Boards by state", "How the last jobs ended", "Packages", "Progress", "Traffic", "Failures"}, marks: marks}.draw(t, prometheus, begun)
	times, _ := prometheus.samples(t, fmt.Sprintf("ota_update_state{instance=%q}", fleet[0].addr))
	t.Logf("%d boards, %d scrapes of the first", len(slices.Compact(targets)), len(times))
}
