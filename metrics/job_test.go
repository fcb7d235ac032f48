package metrics_test

import (
	"math"
	"strings"
	"testing"

	"otad/metrics"
)

// idleJob is what a board shows that never had a job.
func idleJob() metrics.Job {
	return metrics.Job{ProgressAge: math.NaN(), NeededBytes: math.NaN()}
}

func TestJobFillsItsSeries(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*metrics.Job)
		want   []string
	}{
		{"the job", func(j *metrics.Job) { j.Package, j.Version = "u.zip", "1.2.3" },
			[]string{`ota_job_info{package="u.zip",version="1.2.3"} 1`}},
		{"a name with quotes and with bytes that are no text", func(j *metrics.Job) { j.Package = "a\"b\\c\xff" },
			[]string{`ota_job_info{package="a\"b\\c?",version=""} 1`}},
		{"sums", func(j *metrics.Job) { j.Retries, j.Resumes, j.Received = 3, 2, 4096 },
			[]string{`ota_job_retries 3`, `ota_job_resumes 2`, `ota_job_received_bytes 4096`}},
		{"starts", func(j *metrics.Job) { j.FutileStarts = 4 }, []string{`ota_job_starts_without_progress 4`}},
		{"progress", func(j *metrics.Job) { j.LastProgress, j.ProgressAge = 1.5e9, 61.5 },
			[]string{`ota_download_last_progress_timestamp_seconds 1.5e+09`, `ota_download_progress_age_seconds 61.5`}},
		{"none yet", func(*metrics.Job) {},
			[]string{`ota_last_job_result{code="NONE",result="none"} 1`, `ota_last_job_duration_seconds NaN`,
				`ota_download_last_progress_timestamp_seconds NaN`, `ota_download_progress_age_seconds NaN`, `ota_storage_needed_bytes NaN`}},
		{"succeeded", func(j *metrics.Job) { j.LastResult, j.LastSeconds = metrics.Succeeded, 90 },
			[]string{`ota_last_job_result{code="NONE",result="succeeded"} 1`, `ota_last_job_result{code="NONE",result="none"} 0`, `ota_last_job_duration_seconds 90`}},
		{"failed", func(j *metrics.Job) { j.LastResult, j.LastCode = metrics.Failed, "DISK_FULL" },
			[]string{`ota_last_job_result{code="DISK_FULL",result="failed"} 1`, `ota_last_job_result{code="DOWNLOAD_FAILED",result="failed"} 0`}},
		{"cancelled, with a code of before", func(j *metrics.Job) { j.LastResult, j.LastCode = metrics.Cancelled, "DISK_FULL" },
			[]string{`ota_last_job_result{code="NONE",result="cancelled"} 1`}},
		{"failed as a newer otad does", func(j *metrics.Job) { j.LastResult, j.LastCode = metrics.Failed, "https://secret" },
			[]string{`ota_last_job_result{code="other",result="failed"} 1`}},
		{"ended as in a newer otad", func(j *metrics.Job) { j.LastResult = "https://secret" },
			[]string{`ota_last_job_result{code="other",result="other"} 1`}},
		{"needed space", func(j *metrics.Job) { j.NeededBytes = 1024 }, []string{`ota_storage_needed_bytes 1024`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			job := idleJob()
			test.change(&job)
			m := newMetrics()
			m.Job(func() metrics.Job { return job })
			got := ownSeries(t, m)
			for _, want := range test.want {
				if !strings.Contains(got, "\n"+want+"\n") {
					t.Errorf("scrape lacks %q:\n%s", want, got)
				}
			}
			if n := strings.Count(got, "\nota_job_info{"); n > 1 || n == 0 && job.Package != "" || n == 1 && job.Package == "" {
				t.Errorf("%d series of the job", n)
			}
			ones := 0
			for line := range strings.Lines(got) {
				if strings.HasPrefix(line, "ota_last_job_result{") && strings.HasSuffix(line, " 1\n") {
					ones++
				}
			}
			if ones != 1 || strings.Contains(got, "secret") {
				t.Errorf("%d results are 1, want 1, and no strange value as a label:\n%s", ones, got)
			}
		})
	}
}

// withJob returns metrics with every series there is.
func withJob() *metrics.Metrics {
	m := newMetrics()
	m.Job(func() metrics.Job { job := idleJob(); job.Package = "u.zip"; return job })
	return m
}

func TestLintOfTheJob(t *testing.T) { lint(t, withJob()) }
