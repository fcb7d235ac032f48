package metrics

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// None is the result of [Job].LastResult before any job has ended.
const None Result = "none"

// noCode is the code label of a job that did not fail.
const noCode = "NONE"

// Job is what the series show of the current job and of the one that ended last.
// All of it comes from the journal, so that it is there again after the reboot
// that an update ends in. The zero value: no job, and none has ended.
type Job struct {
	Package, Version string // of the current job; no package: there is no job
	Retries, Resumes int64  // of the current job over all processes
	Received         int64  // bytes, as Retries
	FutileStarts     int    // starts of otad in a row without a new checkpoint

	LastProgress float64 // seconds since 1970 by the board's clock; 0: not known
	ProgressAge  float64 // seconds of uptime since then, NaN without a download

	LastResult  Result  // empty: None
	LastCode    string  // of a job that failed
	LastSeconds float64 // of work on it

	NeededBytes float64 // see ota_storage_needed_bytes
}

// jobSeries are the series that one look at the journal fills, at each scrape,
// so that they belong to each other.
type jobSeries struct {
	source atomic.Pointer[func() Job]
	codes  []string // of jobs that fail

	info, retries, resumes, received, starts *prometheus.Desc
	progress, age, result, duration, needed  *prometheus.Desc
}

func newJobSeries(failures [][2]string) *jobSeries {
	s := &jobSeries{}
	for _, f := range failures {
		if !slices.Contains(s.codes, f[0]) {
			s.codes = append(s.codes, f[0])
		}
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	s.info = desc("ota_job_info", "The current job, always 1; there is no series without a job.", "package", "version")
	s.retries = desc("ota_job_retries", "Requests of the current job that were tried again, over all processes.")
	s.resumes = desc("ota_job_resumes", "Times that the current job was resumed at an offset above 0, over all processes.")
	s.received = desc("ota_job_received_bytes", "Bytes of package data received for the current job, over all processes.")
	s.starts = desc("ota_job_starts_without_progress", "Starts of otad in a row with a job under way and without a new checkpoint.")
	s.progress = desc("ota_download_last_progress_timestamp_seconds",
		"When bytes last became durable or the job was posted, by the board's clock; NaN when not known.")
	s.age = desc("ota_download_progress_age_seconds",
		"Uptime since bytes last became durable or the job was posted, NaN unless a download is under way or is tried again.")
	s.result = desc("ota_last_job_result", "How the job that ended last has ended: 1 for the result, 0 for the others.", "result", "code")
	s.duration = desc("ota_last_job_duration_seconds",
		"Time of work on the job that ended last, over all processes, NaN when none has ended.")
	s.needed = desc("ota_storage_needed_bytes",
		"Free bytes that the failed job, or else a package as large as the last one, would need; NaN when not known.")
	return s
}

// Job sets the source of the series of the job. Each scrape calls it, in the
// scrape's goroutine.
func (m *Metrics) Job(source func() Job) { m.job.source.Store(&source) }

// Describe implements [prometheus.Collector].
func (s *jobSeries) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.info, s.retries, s.resumes, s.received, s.starts, s.progress, s.age, s.result, s.duration, s.needed} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *jobSeries) Collect(ch chan<- prometheus.Metric) {
	job := Job{ProgressAge: math.NaN(), NeededBytes: math.NaN()}
	if source := s.source.Load(); source != nil {
		job = (*source)()
	}
	if job.LastProgress == 0 {
		job.LastProgress = math.NaN()
	}
	if job.LastResult == "" {
		job.LastResult, job.LastSeconds = None, math.NaN()
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if job.Package != "" {
		gauge(s.info, 1, strings.ToValidUTF8(job.Package, "?"), strings.ToValidUTF8(job.Version, "?"))
	}
	gauge(s.retries, float64(job.Retries))
	gauge(s.resumes, float64(job.Resumes))
	gauge(s.received, float64(job.Received))
	gauge(s.starts, float64(job.FutileStarts))
	gauge(s.progress, job.LastProgress)
	gauge(s.age, job.ProgressAge)
	gauge(s.duration, job.LastSeconds)
	gauge(s.needed, job.NeededBytes)
	s.collectResult(job, gauge)
}

// collectResult shows every result, and exactly one of them as 1.
func (s *jobSeries) collectResult(job Job, gauge func(*prometheus.Desc, float64, ...string)) {
	is := [2]string{string(job.LastResult), noCode}
	if job.LastResult == Failed {
		is[1] = job.LastCode
	}
	all := [][2]string{{string(None), noCode}, {string(Succeeded), noCode}, {string(Cancelled), noCode}}
	for _, code := range s.codes {
		all = append(all, [2]string{string(Failed), code})
	}
	if !slices.Contains(all, is) {
		is[1] = other // a newer otad has written the journal
		if !slices.Contains(append(results(), None), job.LastResult) {
			is[0] = other
		}
		all = append(all, is)
	}
	for _, pair := range all {
		gauge(s.result, oneIf(pair == is), pair[0], pair[1])
	}
}
