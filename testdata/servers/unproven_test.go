package servers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Answers that prove nothing about the package cost no stored byte.

// wantResumed expects that j became Ready, went on at the last checkpoint before
// stored, and did not start over.
func (j *job) wantResumed(t *testing.T, o outcome, stored int64) {
	t.Helper()
	j.wantReady(t, o)
	wantNotStartedOver(t, o)
	if offset := resumedAt(t, o); offset == 0 || stored-offset > interval {
		t.Errorf("%d bytes were stored, the download went on at %d", stored, offset)
	}
}

// survivesALostETag restarts the server with a configuration without ETags. The
// server answers 412 to the ETag that it sent before.
func survivesALostETag(t *testing.T, r trial, o *fileOrigin) {
	o.publish(t, r.folder, r.packages.first)
	j := r.job(t, r.packages.first)
	stored := j.killedInTheMiddle(t)
	o.NoETag = true
	o.restart(t)
	defer func() { o.NoETag = false; o.restart(t) }()
	j.wantResumed(t, j.run(t), stored)
	requests := o.requests(t, r.folder, 3)
	if len(requests) != 3 || requests[1].status != "412" || requests[2].match != "" || requests[2].ranges != requests[1].ranges {
		t.Errorf("the server saw %+v, want three requests, the second answered with 412, the third without If-Match", requests)
	}
	r.seen.note("no ETag any more", "412 to If-Match, then goes on at the checkpoint")
}

// takesAStoredGzip downloads a package that is gzip itself, so that the server
// calls it encoded. The bytes are the package's, which the size proves.
func takesAStoredGzip(t *testing.T, r trial, o *fileOrigin) {
	r.folder = "stored"
	o.publish(t, r.folder, r.packages.first)
	goesOn(t, r, r.job(t, r.packages.first, "-size", sizeOf(r.packages.first)), "stored gzip, size given")
	without := r.job(t, r.packages.first)
	output := without.run(t)
	without.wantFailed(t, output, 1, "DOWNLOAD_FAILED: ")
	if !strings.Contains(output.LastLine(), "gzip") {
		t.Errorf("the coding is not named: %s", output.LastLine())
	}
	r.seen.note("stored gzip, size not given", withoutAddress(output.LastLine()))
}

// keepsTheBytesUntilTheWholeIsStored resumes at a server without ranges and
// ETags: its 200 has the right length, but may be another object. The stored
// bytes are given up when the first interval of the answer is durable.
func keepsTheBytesUntilTheWholeIsStored(t *testing.T, r trial, o *fileOrigin) {
	r.folder = "noproof"
	o.publish(t, r.folder, r.packages.first)
	j := r.job(t, r.packages.first)
	stored := j.killedInTheMiddle(t)
	again := j.start(t, "-rate-limit", "256KiB")
	time.Sleep(time.Second) // 256 KiB of the answer
	again.kill(t)
	if n := j.stored(); n < stored-interval {
		t.Errorf("%d bytes were stored, %d are left after a quarter of an interval", stored, n)
	}
	output := j.run(t)
	j.wantReady(t, output)
	wantStartedOver(t, output, "range_ignored")
	requests := o.requests(t, r.folder, 3)
	if len(requests) != 3 || requests[1].status != "200" || requests[1].ranges != requests[2].ranges || requests[2].isFrom(0) {
		t.Errorf("the server saw %+v, want three requests, the last two from the checkpoint and answered with 200", requests)
	}
	r.seen.note("no ranges, no ETag", "200, starts over when an interval is durable")
}

// survivesAPortal breaks a download and lets every request be answered with a
// page, as a captive portal does, until otad has seen one.
func survivesAPortal(t *testing.T, r trial, o *fileOrigin) {
	r.folder = "portal"
	closed := filepath.Join(o.Dir, "portal")
	o.publish(t, r.folder, r.packages.first)
	j := r.job(t, r.packages.first)
	running := j.start(t, slowly...)
	running.reach(t, middle)
	check(t, os.WriteFile(closed, nil, 0o644))
	o.server.kill()
	o.server.start(t)
	const page = "HTTP 200 with 20 bytes of text/html instead of the package"
	check(t, running.Await(patience, "otad has seen the page", func() (bool, error) {
		return strings.Contains(running.Stderr.String(), page), nil
	}))
	if n := j.stored(); n < middle-interval {
		t.Errorf("%d bytes are left of %d", n, middle)
	}
	check(t, os.Remove(closed))
	j.wantResumed(t, running.wait(t), middle)
	r.seen.note("portal page in the middle", "goes on at the checkpoint")

	// A process that meets nothing but the portal fails, and keeps the bytes.
	j = r.job(t, r.packages.first, "-retries", "1")
	stored := j.killedInTheMiddle(t)
	check(t, os.WriteFile(closed, nil, 0o644))
	output := j.run(t)
	j.wantFailed(t, output, 1, "DOWNLOAD_FAILED: "+page)
	r.seen.note("portal page for ever", withoutAddress(output.LastLine()))
	check(t, os.Remove(closed))
	j.wantResumed(t, j.run(t), stored)
}

// namesTheScheme tries https at the port of http, and the reverse.
func namesTheScheme(t *testing.T, r trial, o *fileOrigin) {
	o.publish(t, r.folder, r.packages.first)
	isTLS := "this port is https, the URL is http"
	if o.name == "lighttpd" {
		isTLS = "connection lost before the answer" // it closes without a word
	}
	for _, c := range []struct {
		kind, url, says string
	}{
		{"https to the http port", "https://" + o.Plain.String() + target(r.folder), "this port is http, the URL is https"},
		{"http to the https port", "http://" + o.TLS.String() + target(r.folder), isTLS},
	} {
		j := newJob(t, c.url, r.packages.first, "-ca-file", o.CA, "-retries", "0")
		output := j.run(t)
		j.wantFailed(t, output, 1, "DOWNLOAD_FAILED: ")
		if !strings.Contains(output.LastLine(), c.says) {
			t.Errorf("%s: the error is %q, want %q", c.kind, output.LastLine(), c.says)
		}
		r.seen.note(c.kind, withoutAddress(output.LastLine()))
	}
}
