package servers_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func (r trial) job(t *testing.T, want pkg, args ...string) *job {
	return newJob(t, r.origin.url(r.folder), want, append(r.origin.flags(), args...)...)
}

// etag returns the current ETag of the package in the folder.
func (r trial) etag(t *testing.T) string {
	t.Helper()
	resp, _ := get(t, r.origin.client(), r.origin.url(r.folder), "Range", "bytes=0-0")
	return resp.Header.Get("ETag")
}

func fetchesInOneRequest(t *testing.T, r trial) {
	r.origin.publish(t, r.folder, r.packages.first)
	j := r.job(t, r.packages.first)
	j.wantReady(t, j.run(t))
	requests := r.origin.requests(t, r.folder, 1)
	if len(requests) != 1 || !requests[0].isFrom(0) {
		t.Errorf("the server saw %+v, want one request from byte 0", requests)
	}
}

func goesOnAfterSIGKILL(t *testing.T, r trial) {
	r.origin.publish(t, r.folder, r.packages.first)
	goesOn(t, r, r.job(t, r.packages.first), "killed in the middle")
}

// goesOn kills otad in the middle of j, and expects that the next process
// resumes at the last checkpoint. The text names the kind of download in the
// table.
func goesOn(t *testing.T, r trial, j *job, text string) {
	t.Helper()
	stored := j.killedInTheMiddle(t)
	o := j.run(t)
	j.wantReady(t, o)
	offset := resumedAt(t, o)
	if offset%interval != 0 || offset == 0 || stored-offset > interval {
		t.Errorf("%d bytes were stored, the next request is from %d", stored, offset)
	}
	requests := r.origin.requests(t, r.folder, 2)
	if len(requests) != 2 || !requests[1].isFrom(offset) || !requests[1].isAbout(r.etag(t)) {
		t.Errorf("the server saw %+v, want two requests, the second from byte %d and about the same object", requests, offset)
	}
	if status := requests[1].status; status != "206" && status != notLogged {
		t.Errorf("the second request was answered with %s", status)
	}
	r.seen.note(text, "goes on at the checkpoint")
}

// resumedAt returns the offset of the resume in otad's log.
func resumedAt(t *testing.T, o outcome) int64 {
	t.Helper()
	resumed := o.entries("resuming")
	if len(resumed) == 0 {
		t.Fatalf("nothing was resumed: %s", o.Stderr)
	}
	return resumed[0].Offset
}

// startsOverWhenReplaced downloads a package that replaces another one in the
// middle of the download.
func startsOverWhenReplaced(t *testing.T, r trial, next pkg) {
	r.origin.publish(t, r.folder, r.packages.first)
	j := r.job(t, next)
	j.killedInTheMiddle(t)
	before := r.etag(t)
	r.origin.publish(t, r.folder, next)
	o := j.run(t)
	j.wantReady(t, o)
	wantStartedOver(t, o, "changed")
	requests := r.origin.requests(t, r.folder, 3)
	// A 412 proves nothing: its request is repeated without If-Match.
	n := 3
	if requests[1].status == "412" {
		n = 4
		requests = r.origin.requests(t, r.folder, n)
		if second := requests[2]; second.isAbout(before) && second.match != notLogged || second.ranges != requests[1].ranges {
			t.Errorf("the request after the 412 is %+v, want the same without If-Match", second)
		}
	}
	if len(requests) != n || !requests[n-1].isFrom(0) {
		t.Errorf("the server saw %+v, want %d requests, the last from byte 0", requests, n)
	}
	r.seen.note("replaced: found by", foundBy(requests, before != r.etag(t)))
}

// foundBy names the responses that revealed the replacement.
func foundBy(requests []request, otherETag bool) string {
	found := "Last-Modified in the 206"
	if otherETag {
		found = "ETag in the 206"
	}
	for _, q := range requests {
		if q.status == "412" {
			return "412 to If-Match, then " + found
		}
	}
	return found
}

func wantStartedOver(t *testing.T, o outcome, reason string) {
	t.Helper()
	over := o.entries("starting over")
	if len(over) != 1 || over[0].Reason != reason {
		t.Errorf("otad started over %+v, want once for %s: %s", over, reason, o.Stderr)
	}
}

// neverMixesSameSizeAndTime replaces a package by one of the same size and
// modification time, from which many servers make their ETag. Where the server
// cannot distinguish them, the digest does.
func neverMixesSameSizeAndTime(t *testing.T, r trial) {
	r.origin.publish(t, r.folder, r.packages.first)
	j := r.job(t, r.packages.sameTime)
	j.killedInTheMiddle(t)
	before := r.etag(t)
	r.origin.publish(t, r.folder, r.packages.sameTime)
	o := j.run(t)
	if o.Code == 0 {
		wantStartedOver(t, o, "changed")
		r.seen.note("same size and time: found by", foundBy(r.origin.requests(t, r.folder, 3), before != r.etag(t)))
	} else {
		j.wantFailed(t, o, 3, "MD5_MISMATCH: expected "+j.want.md5)
		if _, err := os.Stat(j.partial()); err == nil {
			t.Error("the mixture is kept")
		}
		r.seen.note("same size and time: found by", "MD5 of the whole")
		o = j.run(t)
	}
	j.wantReady(t, o)
}

// outlivesRestart kills the server during a download, which must resume by
// itself.
func outlivesRestart(t *testing.T, r trial, server *process) {
	r.origin.publish(t, r.folder, r.packages.first)
	j := r.job(t, r.packages.first)
	running := j.start(t, slowly...)
	running.reach(t, middle)
	server.kill()
	server.start(t)
	o := running.wait(t)
	j.wantReady(t, o)
	retried := o.entries("retrying")
	if len(retried) == 0 || resumedAt(t, o) < middle-interval {
		t.Fatalf("nothing was retried and resumed: %s", o.Stderr)
	}
	r.seen.note("killed and restarted", "goes on after "+retried[0].Reason)
}

func trustsOnlyTheOwnCA(t *testing.T, r trial, o *fileOrigin) {
	o.publish(t, r.folder, r.packages.first)
	goesOn(t, r, newJob(t, o.tlsURL(r.folder), r.packages.first, "-ca-file", o.CA), "TLS, own CA")
	stranger := newJob(t, o.tlsURL(r.folder), r.packages.first, "-retries", "1")
	output := stranger.run(t)
	stranger.wantFailed(t, output, 1, "DOWNLOAD_FAILED: the server's certificate is signed by an unknown authority")
	// One connection may have met a portal.
	if retried := output.entries("retrying"); len(retried) != 1 || retried[0].Reason != "tls" {
		t.Errorf("otad retried %+v, want once for tls: %s", retried, output.Stderr)
	}
}

func showsTheClientCertificate(t *testing.T, r trial, o *fileOrigin) {
	o.publish(t, r.folder, r.packages.first)
	goesOn(t, r, newJob(t, o.mutualURL(r.folder), r.packages.first, "-ca-file", o.CA, "-client-cert", o.ClientCert, "-client-key", o.ClientKey), "client certificate")
	without := newJob(t, o.mutualURL(r.folder), r.packages.first, "-ca-file", o.CA, "-retries", "1")
	output := without.run(t)
	without.wantFailed(t, output, 1, "DOWNLOAD_FAILED: ")
	r.seen.note("no client certificate", withoutAddress(output.LastLine()))
}

var addressInError = regexp.MustCompile(` \(https?://[^)]*\)`)

// withoutAddress returns the last line of a failed otad without its code, the
// address of the server and the number of retries.
func withoutAddress(line string) string {
	line, _, _ = strings.Cut(strings.TrimPrefix(line, "DOWNLOAD_FAILED: "), " (gave up")
	return addressInError.ReplaceAllString(line, "")
}

func sizeOf(p pkg) string { return strconv.FormatInt(p.size, 10) }

func isNotCompressed(t *testing.T, r trial, o *fileOrigin) {
	r.folder = "gzip"
	o.publish(t, r.folder, r.packages.first)
	if resp, _ := get(t, o.client(), o.url(r.folder), "Accept-Encoding", "gzip"); resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("gzip is not switched on: %v", resp.Header)
	}
	goesOn(t, r, r.job(t, r.packages.first), "gzip switched on")
}

// dropsThePrefixWithoutRanges resumes at a server that answers 200 to a range.
// The strong ETag is the same, so the bytes before the checkpoint are received
// once more and dropped.
func dropsThePrefixWithoutRanges(t *testing.T, r trial, o *fileOrigin) {
	r.folder = "norange"
	o.publish(t, r.folder, r.packages.first)
	j := r.job(t, r.packages.first)
	stored := j.killedInTheMiddle(t)
	output := j.run(t)
	j.wantReady(t, output)
	wantNotStartedOver(t, output)
	if offset := resumedAt(t, output); offset == 0 || stored-offset > interval {
		t.Errorf("%d bytes were stored, the download went on at %d", stored, offset)
	}
	requests := o.requests(t, r.folder, 2)
	if len(requests) != 2 || requests[1].status != "200" {
		t.Errorf("the server saw %+v, want two requests, the second answered with 200", requests)
	}
	r.seen.note("ranges switched off", "200, same ETag: goes on at the checkpoint")
}

func wantNotStartedOver(t *testing.T, o outcome) {
	t.Helper()
	if over := o.entries("starting over"); len(over) > 0 {
		t.Errorf("otad started over %+v: %s", over, o.Stderr)
	}
}
