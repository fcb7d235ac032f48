package main

import (
	"fmt"

	"otad/testdata/otadrun"
)

// invariants are the things that otad has reported and that must therefore hold
// after a power cut. They do not depend on how otad works.
type invariants struct {
	ready     *pkg            // the last package that was reported Ready; it must stay so
	job       *pkg            // the job posted since, if any
	acked     bool            // its post was answered
	durable   int64           // the highest bytes_durable that was reported for job
	published map[string]*pkg // the package that must be under each published name
	toSlot    bool            // packages go to a slot, see slot.check, and there are no files of them
}

// jobPosted records that a job is about to be posted.
func (w *invariants) jobPosted(p *pkg) {
	w.job, w.acked, w.durable = p, false, 0
}

// jobAccepted records that otad has accepted the job.
func (w *invariants) jobAccepted() { w.acked = true }

// observe checks and records a response of a running otad. Ready is true when
// the job is done.
func (w *invariants) observe(a otadrun.Response) (ready bool, err error) {
	d := a.Data
	if d.Version != w.job.version {
		return false, violated("otad works on %q (%s) instead of %s", d.Version, d.State, w.job.version)
	}
	switch d.State {
	case "Downloading", "Verifying":
		w.durable = max(w.durable, d.Durable)
		return false, nil
	case "Ready":
		w.markReady()
		return true, nil
	case "Failed":
		// A broken transfer fails the job for a while, and costs no checkpoint.
		if !w.job.broken.Load() || d.Durable < w.durable {
			return false, violated("the job %s failed with %d of %d durable bytes: %s", w.job.version, d.Durable, w.durable, a.Msg)
		}
		w.durable = d.Durable
		return false, nil
	default:
		return false, violated("the job %s ended in %s: %s", w.job.version, d.State, a.Msg)
	}
}

func (w *invariants) markReady() {
	if w.published == nil {
		w.published = make(map[string]*pkg)
	}
	if !w.toSlot {
		w.published[w.job.name] = w.job
	}
	w.ready, w.job, w.acked = w.job, nil, false
}

// checkFirstResponse compares the first response after a boot with the reports
// before the cut.
func (w *invariants) checkFirstResponse(a otadrun.Response) error {
	d := a.Data
	switch {
	case w.job != nil && d.Version == w.job.version:
		w.acked = true
		if d.State != "Ready" && d.State != "Verifying" && d.Durable < w.durable {
			return violated("%d bytes of %s were reported durable, %d are left", w.durable, d.Version, d.Durable)
		}
		_, err := w.observe(a)
		return err
	case w.acked:
		return violated("the job %s was accepted, and after the boot otad is %s with %q", w.job.version, d.State, d.Version)
	}
	w.job = nil // the post had not been answered: it may be lost
	switch {
	case w.ready == nil && d.State == "Idle":
		return nil
	case w.ready != nil && (d.State == "Ready" || d.State == "Verifying") && d.Version == w.ready.version:
		return nil // Verifying: the package is digested again, and checkFiles has compared it
	case w.ready == nil:
		return violated("nothing was accepted, and otad is %s with %q", d.State, d.Version)
	default:
		return violated("%s was reported Ready, and otad is %s with %q", w.ready.version, d.State, d.Version)
	}
}

// checkFiles compares the files that a boot finds, before otad starts, with the
// reports before the cut. A published name holds the last package that was
// Ready under that name, or the job's if the cut fell between publishing and
// reporting.
func (w *invariants) checkFiles(files map[string]string) error {
	for name, p := range w.published {
		if sum, ok := files[name]; !ok || sum != p.md5 && !w.isJob(name, sum) {
			return violated("%s of %s was reported Ready and has MD5 %q instead of %s", name, p.version, sum, p.md5)
		}
	}
	for name, sum := range files {
		if w.published[name] == nil && isPackage(name) && (w.toSlot || !w.isJob(name, sum)) {
			return violated("%s was published with MD5 %s, which is that of no package", name, sum)
		}
	}
	return nil
}

func (w *invariants) isJob(name, sum string) bool {
	return w.job != nil && w.job.name == name && w.job.md5 == sum
}

// isPackage reports whether name is the final name of a package.
func isPackage(name string) bool {
	var number int
	var rest string
	n, _ := fmt.Sscanf(name, "update-%d%s", &number, &rest)
	return n == 2 && rest == ".bin"
}
