package fsm

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"otad/hashing/signature"
	"otad/journal"
	"otad/netio"
)

// judge takes the verdict on signatures: before the first byte of a job, before it
// is Ready, and at each later start. Any goroutine may call it.
type judge struct {
	trust   func() signature.Trust
	journal *journalWriter
	report  *reporter
}

func (g judge) required() bool { return g.trust().Required() }

// posted judges the signature of a job that is about to start, where one is
// needed. It returns the job as it is to be stored, and what its signature says:
// zero when there is none, or none is needed. A job that is the record's, as same
// reports, may leave out a signature that is known.
func (g judge) posted(job journal.Job, rec journal.Record, same bool) (journal.Job, journal.Signed, error) {
	lines, err := "", error(nil)
	if job.Signature != "" {
		lines, err = signature.Lines(job.Signature)
	}
	switch required := g.required(); {
	case !required && same && lines == "":
		job.Signature, job.SignatureURL = rec.Job.Signature, ""
		return job, rec.Signed, nil
	case !required:
		// It is kept for a later start with keys. Of what is no signature there is
		// nothing to keep.
		job.Signature, job.SignatureURL = lines, ""
		return job, journal.Signed{}, nil
	case job.Signature != "" && err != nil:
		return job, journal.Signed{}, g.refused(err)
	case job.Signature != "":
		job.Signature, job.SignatureURL = lines, ""
		signed, err := g.verdict(job)
		return job, signed, err
	}
	if known := withSignature(job, rec.Job.Signature); same && known.Signature != "" {
		if signed, err := g.verdict(known); err == nil {
			return known, signed, nil
		}
	}
	if signatureURL(job) == "" {
		return job, journal.Signed{}, g.refused(&signature.Error{Problem: signature.Missing,
			Detail: "the job has no signature and no URL of one, and its own URL has a query, so that none follows from it"})
	}
	return job, journal.Signed{}, nil // it is fetched before the first byte
}

// withSignature returns the job with a signature, whose URL is of no use then.
func withSignature(job journal.Job, lines string) journal.Job {
	job.Signature, job.SignatureURL = lines, ""
	return job
}

// verdict returns what the job's signature says.
func (g judge) verdict(job journal.Job) (journal.Signed, error) {
	v, err := g.trust().Judge(job.Signature)
	if err == nil {
		err = v.Contradicts(signature.Claims{Version: job.Version, Size: job.Size, SHA256: job.SHA256})
	}
	if err != nil {
		return journal.Signed{}, g.refused(err)
	}
	g.report.signature(signatureValid)
	return journal.Signed{Key: string(v.Key), Version: v.Version, Size: v.Size, SHA256: v.SHA256}, nil
}

// again takes the verdict on the record's job once more, where one is needed: a
// key may be gone since. It returns the record with what the signature says.
func (g judge) again(rec journal.Record) (journal.Record, error) {
	if !g.required() {
		return rec, nil
	}
	signed, err := g.verdict(rec.Job)
	if err != nil || signed == rec.Signed {
		return rec, err
	}
	return g.journal.update(func(r *journal.Record) { r.Signed = signed })
}

// isTrusted reports whether the record's job failed for its signature, and would
// not today.
func (g judge) isTrusted(rec journal.Record) bool {
	if stateOf(rec) != Failed || Code(rec.Code) != SignatureInvalid || rec.Job.Signature == "" || !g.required() {
		return false
	}
	_, err := g.verdict(rec.Job)
	return err == nil
}

// signatureValid is the result of a verdict that has no problem, as a label.
const signatureValid = "valid"

// SignatureResults returns the results of verdicts, as label values of a metric.
func SignatureResults() []string {
	out := []string{signatureValid}
	for _, p := range signature.Problems() {
		out = append(out, string(p))
	}
	return out
}

// signature counts a verdict on a signature, by one of SignatureResults.
func (r *reporter) signature(result string) { r.metrics.Signature(result) }

// refused counts a verdict that is a problem, and returns it as an *Error.
func (g judge) refused(err error) error {
	var problem *signature.Error
	if !errors.As(err, &problem) {
		return err
	}
	g.report.signature(string(problem.Problem))
	return RefusedSignature(problem)
}

// RefusedSignature returns the error of a job whose signature has that problem.
func RefusedSignature(err *signature.Error) *Error {
	return &Error{Code: SignatureInvalid, Reason: signatureReason(err.Problem), Detail: err.Detail, Err: err}
}

func signatureReason(p signature.Problem) Reason { return Reason(strings.ToUpper(string(p))) }

// signatureURL returns where the job's signature is, "" when that is not known. A
// query may be the signature of the URL, which no other URL has.
func signatureURL(job journal.Job) string {
	if job.SignatureURL != "" {
		return job.SignatureURL
	}
	u, err := url.Parse(job.URL)
	if err != nil || job.URL == "" || strings.ContainsAny(job.URL, "?#") || strings.HasSuffix(u.Path, "/") {
		return ""
	}
	return job.URL + ".minisig"
}

// sign makes sure that the job has a valid signature, if it needs one. A
// signature that did not come with the job is fetched, as the package is.
func (t *transfer) sign(ctx context.Context) (journal.Record, error) {
	rec := t.journal.record()
	if !t.judge.required() || rec.Job.Signature != "" || signatureURL(rec.Job) == "" {
		return t.judge.again(rec)
	}
	if err := t.run(ctx, t.fetchSignature); err != nil {
		return rec, err
	}
	t.policy.failures = 0 // the package's are counted for themselves
	return t.journal.record(), nil
}

// fetchSignature makes one request for the signature.
func (t *transfer) fetchSignature(ctx context.Context) error {
	rec := t.journal.record()
	if rec.Job.Signature != "" { // it came meanwhile
		_, err := t.judge.again(rec)
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go t.watchHold(ctx, cancel)
	t.url = rec.Job.URL
	silent := time.AfterFunc(silentAfter, t.restarts.clear)
	text, err := t.readSignature(ctx, signatureURL(rec.Job))
	silent.Stop()
	if err != nil {
		if now := t.journal.record().Job; now.Signature != "" || now.SignatureURL != rec.Job.SignatureURL {
			return errURLReplaced
		}
		return t.heldOr(ctx, err)
	}
	lines, err := signature.Lines(text)
	if err != nil {
		return t.judge.refused(err)
	}
	signed, err := t.judge.verdict(withSignature(rec.Job, lines))
	if err != nil {
		return err
	}
	t.log.Info("signature fetched", "signed_by", signed.Key, "size", signed.Size)
	_, err = t.journal.update(func(r *journal.Record) {
		if r.Job.Signature == "" {
			r.Job, r.Signed = withSignature(r.Job, lines), signed
		}
	})
	return err
}

// readSignature returns what is at url.
func (t *transfer) readSignature(ctx context.Context, url string) (string, error) {
	body, err := t.source.Open(ctx, netio.Request{URL: url})
	if err != nil {
		t.report.request(statusOf(err))
		return "", t.unreadable(err)
	}
	defer body.Close()
	t.report.request(body.Info().Status)
	t.networkBack()
	if size := body.Info().Size; size > signature.Max {
		return "", t.judge.refused(&signature.Error{Problem: signature.Malformed, Detail: "what is at the URL of the signature is longer than one"})
	}
	text, err := io.ReadAll(io.LimitReader(body, signature.Max+1))
	if err != nil {
		return "", t.unreadable(err)
	}
	return string(text), nil
}

// unreadable returns the error of a signature that cannot be fetched. What time
// may mend is a failure like that of the package.
func (t *transfer) unreadable(err error) error {
	var f *netio.Error
	if !errors.As(err, &f) {
		return err
	}
	e := *f
	e.Detail = "the signature: " + f.Detail
	switch f.Kind {
	case netio.Transient, netio.Offline, netio.NoClock, netio.NotPackage, netio.Expired:
		return &e
	case netio.Permanent:
		if f.Status != http.StatusNotFound && f.Status != http.StatusGone {
			return &e
		}
		return t.judge.refused(&signature.Error{Problem: signature.Missing, Detail: e.Detail})
	}
	return t.judge.refused(&signature.Error{Problem: signature.Malformed, Detail: e.Detail})
}
