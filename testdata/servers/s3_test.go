package servers_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"otad/testdata/certs"
	"otad/testdata/s3"
)

const bucket = "packages"

// An s3Origin is an S3 server with real signatures, here over TLS.
type s3Origin struct {
	certs.Authority
	s3.Signer
	listens address
	log     string
	server  *process
}

func newS3Origin(t *testing.T) *s3Origin {
	t.Helper()
	dir := openDir(t)
	o := &s3Origin{
		Authority: newAuthority(t, "127.0.0.1"),
		// In us-east-1 older awscli signs by version 2, which newer buckets refuse.
		Signer:  s3.Signer{Access: "testkey", Secret: "testsecret", Region: "eu-central-1"},
		listens: freeAddresses(t, "127.0.0.1", 1)[0],
		log:     filepath.Join(dir, "access.log"),
	}
	for _, sub := range []string{"data", "data/" + bucket, "metadata"} {
		check(t, os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	program, err := s3.Install(func(text string) { t.Log(text) })
	check(t, err)
	o.server = &process{
		program: program,
		args: []string{"--port", o.listens.String(), "--region", o.Region, "--cert", o.Cert, "--key", o.Key, "--quiet", "--access-log", o.log,
			"posix", "--sidecar", filepath.Join(dir, "metadata"), filepath.Join(dir, "data")},
		env:     []string{"ROOT_ACCESS_KEY=" + o.Access, "ROOT_SECRET_KEY=" + o.Secret},
		listens: []address{o.listens}, output: filepath.Join(dir, "output"),
	}
	o.server.start(t)
	return o
}

// object is the URL of the object under a key, which begins with a slash.
func (o *s3Origin) object(key string) url.URL {
	return url.URL{Scheme: "https", Host: o.listens.String(), Path: "/" + bucket + key}
}

func (o *s3Origin) url(folder string) string { return o.signed(folder, time.Hour) }

// signed is a URL of the folder's package that is good for so long from now on.
func (o *s3Origin) signed(folder string, lifetime time.Duration) string {
	return o.Sign(http.MethodGet, o.object(target(folder)), time.Now(), lifetime)
}

func (o *s3Origin) publish(t *testing.T, folder string, p pkg) {
	t.Helper()
	o.put(t, target(folder), p)
	if !shows(t, o.client(), o.url(folder), p) {
		t.Fatalf("PUT of %s: another package is there", folder)
	}
}

// put stores a package under a key.
func (o *s3Origin) put(t *testing.T, key string, p pkg) {
	t.Helper()
	f, err := os.Open(p.path)
	check(t, err)
	defer f.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, o.Sign(http.MethodPut, o.object(key), time.Now(), time.Hour), f)
	check(t, err)
	req.ContentLength = p.size
	resp, err := o.client().Do(req)
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("PUT of %s: %s", key, resp.Status)
	}
}

func (o *s3Origin) flags() []string           { return []string{"-ca-file", o.CA} }
func (o *s3Origin) process() *process         { return o.server }
func (o *s3Origin) client() *http.Client      { return newClient(o.Authority) }
func (o *s3Origin) release(*testing.T) string { return strings.TrimPrefix(s3.Version, "v") }

func (o *s3Origin) requests(t *testing.T, folder string, n int) []request {
	t.Helper()
	return readRequests(t, o.log, target(folder), n, parseS3)
}

// parseS3 parses the format of Amazon S3's server access log.
func parseS3(line string) (request, bool) {
	f := strings.Fields(line)
	if len(f) < 18 {
		return request{}, false
	}
	r := request{path: "/" + f[8], agent: strings.Trim(f[17], `"`), status: f[10], ranges: notLogged, match: notLogged}
	if r.status == "200" {
		r.status = notLogged // versitygw calls a 206 so too
	}
	return r, true
}

var onS3 = []struct {
	name string
	try  func(*testing.T, trial, *s3Origin)
}{
	{"signature expires in the middle", goesOnWithANewSignature},
	{"refusals", refusesClearly},
}

// goesOnWithANewSignature interrupts a download after its signature has
// expired.
func goesOnWithANewSignature(t *testing.T, r trial, o *s3Origin) {
	const lifetime = 2 * time.Second
	o.publish(t, r.folder, r.packages.first)
	j := r.job(t, r.packages.first)
	over := time.Now().Add(lifetime + time.Second) // S3 counts whole seconds
	j.url = o.signed(r.folder, lifetime)
	running := j.start(t, "-rate-limit", "3MiB")
	eventually(t, "the signature's time is over", func() bool { return time.Now().After(over) && j.stored() >= middle })
	o.server.kill()
	o.server.start(t)
	output := running.wait(t)
	j.wantFailed(t, output, 1, "DOWNLOAD_FAILED: URL_EXPIRED ")
	r.seen.note("signature expired in the middle", withoutAddress(output.LastLine()))
	kept := j.stored()
	if kept < middle || kept >= r.packages.first.size {
		t.Fatalf("%d bytes are kept of a download that reached %d", kept, middle)
	}
	j.url = o.signed(r.folder, time.Hour)
	again := j.run(t)
	j.wantReady(t, again)
	if offset := resumedAt(t, again); offset > kept || kept-offset > interval {
		t.Errorf("%d bytes were kept, the new URL went on from %d", kept, offset)
	}
	if over := again.entries("starting over"); len(over) > 0 {
		t.Errorf("the new URL started over: %+v", over)
	}
	r.seen.note("signed anew", "goes on at the checkpoint")
}

func refusesClearly(t *testing.T, r trial, o *s3Origin) {
	o.publish(t, r.folder, r.packages.first)
	forger := o.Signer
	forger.Secret = "another"
	for _, c := range []struct {
		name, url, says string
	}{
		{"wrong signature", forger.Sign(http.MethodGet, o.object(r.folder), time.Now(), time.Hour), "DOWNLOAD_FAILED: HTTP 403 SignatureDoesNotMatch"},
		{"missing key", o.signed("nothing-here", time.Hour), "DOWNLOAD_FAILED: HTTP 404 NoSuchKey"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := r.job(t, r.packages.first)
			j.url = c.url
			output := j.run(t)
			j.wantFailed(t, output, 1, c.says)
			r.seen.note(c.name, withoutAddress(output.LastLine()))
		})
	}
}
