package fsm_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/hashing/signature"
	"otad/hashing/signature/signaturetest"
	"otad/journal"
	"otad/netio"
	"otad/netio/origintest"
)

var maker, successor = signaturetest.New(0xA1), signaturetest.New(0xB2)

// signedRig is a rig with trusted keys, and an origin of its own for what ends in
// .minisig.
type signedRig struct {
	*rig
	trust      *atomic.Pointer[signature.Trust]
	signatures *origintest.Origin // nil: no signature is to be asked for
	asked      atomic.Int32       // requests for a signature
}

func newSignedRig(t *testing.T, script ...*origintest.Rule) *signedRig {
	s := &signedRig{rig: newRig(t, script...), trust: new(atomic.Pointer[signature.Trust])}
	s.trusts(maker)
	s.cfg.Trust = func() signature.Trust { return *s.trust.Load() }
	s.source = func(source fsm.Source) fsm.Source { return routed{source, s} }
	return s
}

// trusts sets the keys that are trusted from now on.
func (s *signedRig) trusts(signers ...signaturetest.Signer) {
	trust := new(signature.Trust)
	for _, signer := range signers {
		keys, err := signature.ParseKeys(signer.PublicFile())
		must(s.t, err)
		trust.Keys = append(trust.Keys, keys...)
	}
	s.trust.Store(trust)
}

// serves has an origin serve the text as the signature.
func (s *signedRig) serves(text string, script ...*origintest.Rule) {
	s.signatures = origintest.NewConfig(s.t, origintest.Config{InMemory: true, Script: script,
		Object: origintest.Object{Bytes: []byte(text)}})
}

// comment returns the claims of the rig's package.
func (s *signedRig) comment() string {
	return signaturetest.Claims("1.2.3", s.object.Len(), sha256Sum(s.object))
}

func sha256Sum(o origintest.Object) string {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(o, 0, o.Len())); err != nil {
		panic(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// signedJob is the rig's job with a signature.
func (s *signedRig) signedJob() journal.Job {
	job := s.job()
	job.Signature = maker.Sign(s.comment())
	return job
}

// plainJob is the rig's job with a URL that has no query.
func (s *signedRig) plainJob() journal.Job {
	job := s.job()
	job.URL = s.origin.URL()
	return job
}

// routed sends the requests for signatures to their own origin.
type routed struct {
	fsm.Source
	s *signedRig
}

func (r routed) Open(ctx context.Context, q netio.Request) (fsm.Body, error) {
	path, _, _ := strings.Cut(q.URL, "?")
	if !strings.HasSuffix(path, ".minisig") {
		return r.Source.Open(ctx, q)
	}
	if q.Offset != 0 || r.s.signatures == nil {
		r.s.t.Errorf("asked for %+v", q)
	}
	r.s.asked.Add(1)
	f, err := netio.New(netio.Config{Dial: r.s.signatures.Dial, RetryStatus: []int{503}})
	must(r.s.t, err)
	return fsm.SourceOf(f).Open(ctx, q)
}

// refused starts the job, which has to be refused, and without a trace.
func (s *signedRig) refused(job journal.Job, text string) {
	s.t.Helper()
	before := metricIn(exposition(s.metrics), "ota_journal_commits_total")
	err := s.Start(s.t.Context(), job)
	var refused *fsm.Error
	if !errors.As(err, &refused) || refused.Code != fsm.SignatureInvalid || !strings.HasPrefix(err.Error(), text) {
		s.t.Errorf("refused with %v, want %s", err, text)
	}
	if after := metricIn(exposition(s.metrics), "ota_journal_commits_total"); after != before || len(s.requests()) > 0 {
		s.t.Errorf("%v writes of the journal, %d requests", after-before, len(s.requests()))
	}
}

func TestJobWithoutAValidSignatureIsRefused(t *testing.T) {
	sign := func(change func(comment string) string) func(*signedRig, *journal.Job) {
		return func(s *signedRig, job *journal.Job) { job.Signature = maker.Sign(change(s.comment())) }
	}
	for _, tt := range []struct {
		name string
		job  func(*signedRig, *journal.Job)
		want string
	}{
		{"none, and a URL with a query", func(_ *signedRig, j *journal.Job) { j.Signature = "" }, "MISSING the job has no signature and no URL of one"},
		{"none, and a URL that ends in a slash", func(s *signedRig, j *journal.Job) { j.Signature, j.URL = "", s.origin.URLFor("/") }, "MISSING "},
		{"no signature", func(_ *signedRig, j *journal.Job) { j.Signature = "RURs" }, "MALFORMED "},
		{"of another key", func(s *signedRig, j *journal.Job) { j.Signature = successor.Sign(s.comment()) }, "UNKNOWN_KEY the signature is by the key 00000000000000B2, trusted is 00000000000000A1"},
		{"legacy", func(s *signedRig, j *journal.Job) { j.Signature = maker.SignAs("Ed", s.comment()) }, "LEGACY "},
		{"forged", func(_ *signedRig, j *journal.Job) { j.Signature = strings.Replace(j.Signature, "1.2.3", "1.2.4", 1) }, "INVALID "},
		{"a claim twice", sign(func(c string) string { return c + "\tsize:1" }), "CLAIM_TWICE "},
		{"no claims", sign(func(string) string { return "timestamp:1" }), "CLAIM_MISSING "},
		{"another version", func(_ *signedRig, j *journal.Job) { j.Version = "1.2.4" }, "CLAIM_MISMATCH the version signed is 1.2.3"},
		{"another size", func(_ *signedRig, j *journal.Job) { j.Size++ }, "CLAIM_MISMATCH the size signed is "},
		{"another SHA-256", func(_ *signedRig, j *journal.Job) { j.SHA256 = strings.Repeat("0", 64) }, "CLAIM_MISMATCH the SHA-256 signed is "},
		{"older than the board takes", func(s *signedRig, _ *journal.Job) {
			trust := *s.trust.Load()
			trust.MinVersion = "1.3.0"
			s.trust.Store(&trust)
		}, "TOO_OLD version 1.2.3 is older than 1.3.0"},
	} {
		run(t, tt.name, func(t *testing.T) {
			s := newSignedRig(t)
			s.boot()
			job := s.signedJob()
			tt.job(s, &job)
			s.refused(job, "SIGNATURE_INVALID: "+tt.want)
			word, _, _ := strings.Cut(tt.want, " ")
			if n := metricIn(exposition(s.metrics), `ota_signatures_total{result="`+strings.ToLower(word)+`"}`); n != 1 {
				t.Errorf("%v verdicts of %s are counted", n, word)
			}
			if s.Snapshot().State != fsm.Idle {
				t.Errorf("%+v", s.Snapshot())
			}
		})
	}
}

func TestSignedJobBecomesReady(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSignedRig(t)
		s.boot()
		job := s.signedJob()
		s.start(job)
		s.fetched()
		if now := s.Snapshot(); now.SignedBy != maker.KeyID() {
			t.Errorf("signed by %q", now.SignedBy)
		}
		if h, ok := s.Handover(); !ok || h.SignedBy != maker.KeyID() {
			t.Errorf("handed over as signed by %q", h.SignedBy)
		}
		if rec := s.journal.Record(); rec.Signed.SHA256 != sha256Sum(s.object) || rec.Job.SHA256 != "" || rec.Job.Signature == "" || !rec.Job.Same(job) {
			t.Errorf("%+v", rec)
		}
	})
}

// The MD5 of the request may be made to fit, the signed SHA-256 may not.
func TestBytesThatAreNotTheSignedOnesNeverBecomeReady(t *testing.T) {
	for _, how := range []string{"in the request", "fetched"} {
		run(t, how, func(t *testing.T) {
			s := newSignedRig(t)
			s.boot()
			job := s.plainJob()
			text := maker.Sign(signaturetest.Claims("1.2.3", s.object.Len(), strings.Repeat("ab", 32)))
			if how == "fetched" {
				s.serves(text)
			} else {
				job.Signature = text
			}
			s.start(job)
			s.failed("SHA256_MISMATCH: expected abab")
			if s.exists("u.bin") {
				t.Error("published")
			}
		})
	}
}

// A job that is refused takes nothing from the one that it was to replace.
func TestRefusedJobReplacesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSignedRig(t, origintest.On(1).StallAt(3*interval+100))
		s.boot()
		s.start(s.signedJob())
		synctest.Wait()
		must(t, s.stop())
		s.origin.Release()
		before, durable := s.record()
		s.open()
		var refused *fsm.Error
		if err := s.StartBeforeRun(t.Context(), s.other(), true); !errors.As(err, &refused) || refused.Code != fsm.SignatureInvalid {
			t.Errorf("%v", err)
		}
		if rec, now := s.record(); rec.Job != before.Job || now != durable || durable == 0 {
			t.Errorf("%d of %d bytes of %+v", now, durable, rec.Job)
		}
		s.boot()
		s.fetched()
	})
}

// The signature that is not in the request is fetched before the first byte.
func TestSignatureIsFetchedBeforeTheFirstByte(t *testing.T) {
	page := "<html>please log in</html>"
	for _, tt := range []struct {
		name   string
		text   func(s *signedRig) string
		script []*origintest.Rule
		asked  int32
		want   string // the error; empty: Ready
		keeps  bool   // tried again by itself
	}{
		{"valid", nil, nil, 1, "", false},
		{"after a lost connection and a 503", nil, []*origintest.Rule{origintest.On(1).ResetEarly(), origintest.On(2).Status(503)}, 3, "", false},
		{"without a length", nil, []*origintest.Rule{origintest.Always().Chunked()}, 1, "", false},
		{"long, without a length", func(s *signedRig) string { return strings.Repeat("x", 1<<20) }, []*origintest.Rule{origintest.Always().Chunked()}, 1, "SIGNATURE_INVALID: MALFORMED what is at the URL", false},
		{"none there", nil, []*origintest.Rule{origintest.Always().Status(404)}, 1, "SIGNATURE_INVALID: MISSING the signature: HTTP 404", false},
		{"gone", nil, []*origintest.Rule{origintest.Always().Status(410)}, 1, "SIGNATURE_INVALID: MISSING the signature: HTTP 410", false},
		{"forbidden", nil, []*origintest.Rule{origintest.Always().Status(403)}, 1, "DOWNLOAD_FAILED: the signature: HTTP 403", true},
		{"an origin that is down", nil, []*origintest.Rule{origintest.Always().ResetEarly()}, 4, "DOWNLOAD_FAILED: the signature: connection lost", true},
		{"of another key", func(s *signedRig) string { return successor.Sign(s.comment()) }, nil, 1, "SIGNATURE_INVALID: UNKNOWN_KEY ", false},
		{"of another size", func(s *signedRig) string { return maker.Sign(signaturetest.Claims("1.2.3", 5, sha256Sum(s.object))) }, nil, 1, "SIGNATURE_INVALID: CLAIM_MISMATCH ", false},
		{"a page", func(*signedRig) string { return page }, nil, 1, "SIGNATURE_INVALID: MALFORMED ", false},
		{"long", func(s *signedRig) string { return maker.Sign(s.comment()) + strings.Repeat("\n", 4096) }, nil, 1, "SIGNATURE_INVALID: MALFORMED what is at the URL", false},
		{"empty", func(*signedRig) string { return "\n" }, nil, 1, "SIGNATURE_INVALID: MISSING ", false},
	} {
		run(t, tt.name, func(t *testing.T) {
			s := newSignedRig(t)
			s.cfg.Retries = 3
			forever(s.rig)
			text := maker.Sign(s.comment())
			if tt.text != nil {
				text = tt.text(s)
			}
			s.serves(text, tt.script...)
			s.boot()
			s.start(s.plainJob())
			if tt.want == "" {
				s.fetched()
				if s.Snapshot().SignedBy != maker.KeyID() {
					t.Errorf("%+v", s.Snapshot())
				}
			} else {
				now := s.failed(tt.want)
				if len(s.requests()) > 0 || s.exists("u.bin.otad-part") {
					t.Errorf("%d requests for the package", len(s.requests()))
				}
				if again := now.NextTry > 0; again != tt.keeps {
					t.Errorf("tried again in %v", now.NextTry)
				}
			}
			if n := s.asked.Load(); n != tt.asked {
				t.Errorf("%d requests for the signature, want %d", n, tt.asked)
			}
		})
	}
}

func TestSignatureURLOfTheRequestIsAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSignedRig(t)
		s.serves(maker.Sign(s.comment()))
		s.boot()
		job := s.job()
		job.SignatureURL = s.origin.URLFor("/signed.minisig") + "?signature=" + secret
		s.start(job)
		s.fetched()
		if rec := s.journal.Record(); rec.Job.SignatureURL != "" || s.asked.Load() != 1 {
			t.Errorf("%d requests; the journal has %q", s.asked.Load(), rec.Job.SignatureURL)
		}
		var field *journal.FieldError
		job.SignatureURL = "ftp://example.com/u.minisig"
		if err := s.Start(t.Context(), job); !errors.As(err, &field) || field.Field != journal.FieldSignatureURL {
			t.Errorf("%v", err)
		}
	})
}

// While the signature cannot be fetched, a post may bring it.
func TestPostBringsTheSignatureThatCannotBeFetched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSignedRig(t)
		s.serves("x", origintest.Always().Status(503))
		s.cfg.Retries = 100
		s.boot()
		s.start(s.plainJob())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s.Snapshot().State != fsm.Downloading || len(s.requests()) > 0 {
			t.Errorf("%+v", s.Snapshot())
		}
		job := s.plainJob()
		job.Signature = maker.Sign(s.comment())
		s.start(job)
		s.fetched()
	})
}

// A URL that is signed anew comes without the signature, which is known.
func TestSameJobMayLeaveOutAKnownSignature(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSignedRig(t, origintest.On(1).ResetAt(2*interval), origintest.On(2).ExpiredAWS())
		s.cfg.Retries = 1
		s.boot()
		s.start(s.signedJob())
		s.failed("DOWNLOAD_FAILED: URL_EXPIRED")
		anew := s.job()
		anew.URL += "&anew"
		s.start(anew)
		s.fetched()
		if s.Snapshot().SignedBy != maker.KeyID() || s.Snapshot().ResumedFrom == 0 {
			t.Errorf("%+v", s.Snapshot())
		}
	})
}

// TestKeyIsTakenAway removes the key of a job in each of its states, and brings it
// back, or another signature. No byte is lost, and nothing is called Ready in
// between.
func TestKeyIsTakenAway(t *testing.T) {
	stall := origintest.On(1).StallAt(3*interval + 100)
	for _, tt := range []struct {
		name     string
		script   *origintest.Rule
		prepare  func(s *signedRig)
		requests int // after the trust is back
	}{
		{"in Downloading", stall, func(s *signedRig) {
			s.boot()
			s.start(s.signedJob())
			synctest.Wait()
			must(s.t, s.stop())
			s.origin.Release()
		}, 1},
		{"in Verifying", nil, func(s *signedRig) {
			s.boot()
			s.start(s.signedJob())
			s.fetched()
			s.end()
			s.edit(func(j *journal.Journal) error {
				_, err := j.Update(func(rec *journal.Record) { rec.State = string(fsm.Verifying) })
				return err
			})
			must(s.t, os.Rename(s.path("u.bin"), s.path("u.bin.otad-part")))
		}, 0},
		{"in Ready", nil, func(s *signedRig) {
			s.boot()
			s.start(s.signedJob())
			s.fetched()
			s.end()
		}, 0},
	} {
		for _, back := range []string{"the key is back", "the key is back while it runs", "another signature is posted"} {
			run(t, tt.name+", "+back, func(t *testing.T) {
				script := []*origintest.Rule{}
				if tt.script != nil {
					script = append(script, tt.script)
				}
				s := newSignedRig(t, script...)
				s.cfg.KeepOutbox = true
				tt.prepare(s)
				_, durable := s.record()
				s.trusts(successor)
				s.boot()
				if now := s.failed("SIGNATURE_INVALID: UNKNOWN_KEY "); now.Durable != durable {
					t.Errorf("%d of %d bytes are kept", now.Durable, durable)
				}
				time.Sleep(48 * time.Hour)
				if s.Snapshot().State != fsm.Failed || len(s.requests()) > 0 {
					t.Errorf("%+v", s.Snapshot())
				}
				switch back {
				case "the key is back":
					s.end()
					s.trusts(successor, maker)
					s.boot()
				case "the key is back while it runs":
					s.trusts(maker)
					must(t, s.Recheck(t.Context()))
				default:
					job := s.signedJob()
					job.Signature = successor.Sign(s.comment())
					s.start(job)
				}
				s.fetched()
				if n := len(s.requests()); n != tt.requests {
					t.Errorf("%d requests", n)
				}
			})
		}
	}
}

// The package was signed anew, with another key, and its signature is at its URL.
func TestReadyPackageIsSignedAnew(t *testing.T) {
	for _, when := range []string{"failed", "ready", "being proved"} {
		run(t, when, func(t *testing.T) {
			s := newSignedRig(t)
			s.boot()
			s.start(s.signedJob())
			s.fetched()
			requests := len(s.requests())
			s.serves(successor.Sign(s.comment()))
			s.trusts(successor)
			switch when {
			case "failed":
				must(t, s.Recheck(t.Context()))
				s.failed("SIGNATURE_INVALID: UNKNOWN_KEY ")
			case "being proved":
				s.end()
				s.open()
				must(t, s.StartBeforeRun(t.Context(), s.plainJob(), false))
				requests = 0
				s.boot()
			}
			if when != "being proved" {
				s.start(s.plainJob())
			}
			s.fetched()
			if now := s.Snapshot(); now.SignedBy != successor.KeyID() || len(s.requests()) != requests || s.asked.Load() != 1 {
				t.Errorf("%+v, %d requests, %d for the signature", now, len(s.requests())-requests, s.asked.Load())
			}
		})
	}
}

// The key of a package that is Ready is taken away while otad runs, and the
// package had been taken away before.
func TestRecheck(t *testing.T) {
	for _, gone := range []bool{false, true} {
		run(t, fmt.Sprint("taken away: ", gone), func(t *testing.T) {
			s := newSignedRig(t)
			s.boot()
			s.start(s.signedJob())
			s.fetched()
			if gone {
				must(t, os.Remove(s.path("u.bin")))
			}
			s.trusts(successor)
			must(t, s.Recheck(t.Context()))
			if gone {
				synctest.Wait()
				if s.Snapshot().State != fsm.Ready {
					t.Errorf("%+v", s.Snapshot())
				}
				return
			}
			s.failed("SIGNATURE_INVALID: UNKNOWN_KEY ")
		})
	}
}

// A damaged package of a key that is back has no URL: it has to be posted.
func TestKeyIsBackAndThePackageIsNot(t *testing.T) {
	for _, how := range []string{"gone", "damaged"} {
		run(t, how, func(t *testing.T) {
			s := newSignedRig(t)
			s.boot()
			s.start(s.signedJob())
			s.fetched()
			s.end()
			s.trusts(successor)
			s.boot()
			s.failed("SIGNATURE_INVALID: ")
			s.end()
			if how == "gone" {
				must(t, os.Remove(s.path("u.bin")))
			} else {
				flip(t, s.path("u.bin"), 77)
			}
			s.trusts(maker)
			s.boot()
			s.failed("DOWNLOAD_FAILED: ")
			s.start(s.signedJob())
			s.fetched()
		})
	}
}

// Without keys everything is as it was, and a signature is kept for later.
func TestSignatureWithoutTrustedKeys(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"one by a key that is trusted later", maker.Sign("%s"), ""},
		{"one by another key", successor.Sign("%s"), "SIGNATURE_INVALID: UNKNOWN_KEY "},
		{"none", "", "SIGNATURE_INVALID: MISSING "},
		{"something else", "nonsense", "SIGNATURE_INVALID: MISSING "},
	} {
		run(t, tt.name, func(t *testing.T) {
			s := newSignedRig(t)
			s.trusts()
			s.boot()
			job := s.job()
			if job.Signature = tt.text; strings.Contains(tt.text, "%s") {
				job.Signature = maker.Sign(s.comment())
				if tt.want != "" {
					job.Signature = successor.Sign(s.comment())
				}
			}
			s.start(job)
			s.fetched()
			if s.Snapshot().SignedBy != "" || metricIn(exposition(s.metrics), `ota_signatures_total{result="valid"}`) != 0 {
				t.Error("judged")
			}
			s.end()
			s.boot()
			s.fetched()
			s.end()
			s.trusts(maker)
			s.boot()
			if tt.want != "" {
				s.failed(tt.want)
				s.start(s.signedJob())
			}
			s.fetched()
			if now := s.Snapshot(); now.SignedBy != maker.KeyID() || len(s.requests()) > 0 {
				t.Errorf("%+v, %d requests", now, len(s.requests()))
			}
			s.end()
			s.trusts()
			s.boot()
			s.fetched()
			if s.Snapshot().SignedBy != "" {
				t.Error("without keys nobody vouches for it")
			}
		})
	}
}

// The job of the signature is held while a hold file exists.
func TestHoldFileHoldsTheRequestForTheSignature(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSignedRig(t)
		s.serves(maker.Sign(s.comment()))
		var held atomic.Bool
		held.Store(true)
		s.cfg.Held = held.Load
		s.boot()
		s.start(s.plainJob())
		time.Sleep(time.Hour)
		if s.asked.Load() > 0 {
			t.Error("asked")
		}
		held.Store(false)
		s.fetched()
	})
}
